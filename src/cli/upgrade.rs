//! `upgrade`: converts the configuration and keys of a node of an older release.
//!
//! It checks everything before it changes anything, and writes `config.yaml` last: until then, the node belongs to
//! the older release, and the same command resumes an interrupted upgrade.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use nym_mixnode_base::staging::{self, CreateError};
use nym_mixnode_config as config;
use nym_mixnode_config::migrate::{self, Migration};
use nym_mixnode_config::{Config, NodeHome, NodeId, Source, Values, settings as s};
use nym_mixnode_document::{Older, Release};
use nym_mixnode_keys::install::{self, Identity};
use nym_mixnode_keys::{KeyError, KeyFile, KeyFiles, store};

use super::flags::{NodeFlags, naming};
use super::output::print_to;
use super::{Exit, Failure, init, load};

/// Upgrade a mixnode of release 0.8.1, 0.9.0, 0.9.1 or 0.9.2 in place
///
/// Keeps the keys, converts config.toml to config.yaml, and keeps config.toml as a backup. A repeated upgrade changes
/// nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nym-mixnode upgrade --id winston-smithnode --current-version 0.8.1\n  \
    nym-mixnode upgrade --id winston-smithnode --current-version 0.9.2 --incentives-address YOURADDRESSHERE")]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeFlags,
    /// Current release of the node
    #[arg(long, value_name = "VERSION", value_parser = release_parser())]
    current_version: Release,
    /// Liquid address that receives the incentives program's tokens
    #[arg(long, value_name = "ADDRESS", aliases = ["incentives--address", "incentives"])]
    incentives_address: Option<String>,
    /// Also announce addresses that the internet cannot reach: for closed networks
    #[arg(long)]
    allow_private: bool,
}

fn release_parser() -> impl TypedValueParser<Value = Release> {
    PossibleValuesParser::new(Release::ALL.map(Release::name))
        .try_map(|name| name.parse().map_err(|()| "not a release that can be upgraded"))
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let home = args.node.home()?;
    match (home.older_config_file(), home.config_file().exists()) {
        (Some(toml), false) => upgrade(&home, &toml, args),
        (Some(toml), true) => finish(&home, &toml, args),
        (None, true) => already_upgraded(&home, args),
        (None, false) => Err(Failure::new(
            Exit::CONFIG,
            format_args!(
                "{} does not exist: there is no node to upgrade; create one with `nym-mixnode init`",
                home.dir().join("config/config.toml").display()
            ),
        )),
    }
}

/// Rejects a node of an older release with the command that upgrades it.
pub(super) fn refuse_older(home: &NodeHome, id: &NodeId) -> Result<(), Failure> {
    let Some(toml) = home.older_config_file().filter(|_| !home.config_file().exists()) else { return Ok(()) };
    let older = migrate::read(&toml).map_err(|error| {
        Failure::from(error).with_advice("the configuration of an older release cannot be upgraded")
    })?;
    let message = format!("{} is of an older release: run `{}`", toml.display(), command(home, id, older.release));
    Err(Failure::new(Exit::CONFIG, message))
}

/// Command that upgrades this node.
fn command(home: &NodeHome, id: &NodeId, release: Release) -> String {
    format!("nym-mixnode upgrade {} --current-version {release}", naming(home, id))
}

fn upgrade(home: &NodeHome, toml: &Path, args: &Args) -> Result<(), Failure> {
    let older = migrate::read(toml)?;
    refuse_other_release(&older, home, toml, args)?;
    let migration = translate(&older, home, toml, args);
    let correct = |failure: Failure| failure.with_advice("correct it and run the upgrade again");
    let config = Config::from_values(&migration.values).map_err(|error| correct(error.into()))?;
    if config.node.id != args.node.id.as_str() {
        return Err(Failure::new(
            Exit::CONFIG,
            format_args!(
                "{} belongs to the node {:?}, not to {:?}",
                toml.display(),
                config.node.id,
                args.node.id.as_str()
            ),
        ));
    }
    let files = KeyFiles::new(home.dir(), &config.keys);
    install::finish(&files)?;
    check_keys(&files, older.release)?;

    print_line(format_args!("Upgrading mixnode {} from {}...", args.node.id, older.release))?;
    for note in &migration.notes {
        print_line(note)?;
    }
    close_private(&files)?;
    if older.release == Release::V0_8_1 {
        complete_identity(&files)?;
    }
    config::create_file(&home.config_file(), &config)?;
    print_line(format_args!("Saved configuration file to {}", home.config_file().display()))?;
    keep_backup(toml, older.release)?;
    init::print_if_retired(home, &args.node, &config)?;
    print_line(format_args!("Mixnode {} is upgraded. Start it with: nym-mixnode run {}", args.node.id, args.node))
}

fn refuse_other_release(older: &Older, home: &NodeHome, toml: &Path, args: &Args) -> Result<(), Failure> {
    if older.release == args.current_version {
        return Ok(());
    }
    Err(Failure::new(
        Exit::USAGE,
        format_args!(
            "{} is of release {}, not {}: run `{}`",
            toml.display(),
            older.release,
            args.current_version,
            command(home, &args.node.id, older.release)
        ),
    ))
}

fn translate(older: &Older, home: &NodeHome, toml: &Path, args: &Args) -> Migration {
    let mut migration = migrate::translate(older, toml, home.dir());
    if let Some(address) = &args.incentives_address {
        let about = &s::NODE_INCENTIVES_ADDRESS.about;
        migration.values.set(about, address, &Source::Flag("--incentives-address"));
        migration.notes.push(format!("--incentives-address is now {}: {address}", about.key));
    }
    if args.allow_private {
        let about = &s::ANNOUNCE_ALLOW_PRIVATE.about;
        migration.values.set(about, "true", &Source::Flag("--allow-private"));
        migration.notes.push(format!("--allow-private is now {}: true", about.key));
    }
    migration
}

/// Checks that the keys load and match, whatever the modes of their files.
fn check_keys(files: &KeyFiles, release: Release) -> Result<(), Failure> {
    let files = files.clone().with_any_access();
    let with_identity = release != Release::V0_8_1 || files.paths[KeyFile::PublicIdentity].exists();
    let checked =
        if with_identity { store::load_pairs(&files).map(drop) } else { store::load_sphinx(&files).map(drop) };
    checked.map_err(|error| {
        let missing = matches!(error, KeyError::Missing(_));
        let failure = Failure::from(error);
        if missing { failure.with_advice("restore it from your backup; nothing was changed") } else { failure }
    })
}

/// Restricts the modes of private keys, which older releases leave readable for all users.
fn close_private(files: &KeyFiles) -> Result<(), Failure> {
    for path in KeyFile::PRIVATE.map(|file| &files.paths[file]) {
        let Ok(metadata) = fs::metadata(path) else { continue };
        let mode = metadata.permissions().mode() & 0o7777;
        let open_to_others = mode & 0o077 != 0;
        if !open_to_others {
            continue;
        }
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(|source| {
            let path = path.to_owned();
            Failure::from(CreateError::Io { path, source }).with_advice("set its mode to 600")
        })?;
        print_line(format_args!("{} was readable by others: mode {mode:04o} is now 0600", path.display()))?;
    }
    Ok(())
}

fn complete_identity(files: &KeyFiles) -> Result<(), Failure> {
    match install::complete_identity(files)? {
        Identity::Found => Ok(()),
        Identity::Completed { public } => {
            let file = files.paths[KeyFile::PublicIdentity].display();
            print_line(format_args!("Completed the identity of an interrupted upgrade, {file}: {public}"))
        }
        Identity::Created { public } => {
            let file = files.paths[KeyFile::PrivateIdentity].display();
            print_line(format_args!(
                "Saved a new identity keypair, which 0.8.1 did not have, to {file}\nIdentity key: {public}"
            ))
        }
    }
}

/// Renames the old configuration file so that no program reads it any more.
fn keep_backup(toml: &Path, release: Release) -> Result<(), Failure> {
    let name = format!("config.toml.{release}.bak");
    let names = (1u32..).map(|count| if count == 1 { name.clone() } else { format!("{name}.{count}") });
    for backup in names.map(|name| toml.with_file_name(name)) {
        match staging::rename_new(toml, &backup) {
            Err(CreateError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
            Ok(()) => {
                toml.parent().map_or(Ok(()), staging::sync_dir)?;
                return print_line(format_args!("Kept the old configuration file as {}", backup.display()));
            }
        }
    }
    Ok(())
}

/// Completes an upgrade that was interrupted before its last step.
fn finish(home: &NodeHome, toml: &Path, args: &Args) -> Result<(), Failure> {
    let older = migrate::read(toml)?;
    refuse_other_release(&older, home, toml, args)?;
    load::load_config(home, &args.node.id, &Values::default())?;
    print_line(format_args!(
        "Completing the interrupted upgrade of mixnode {} from {}...",
        args.node.id, older.release
    ))?;
    keep_backup(toml, older.release)?;
    already_upgraded(home, args)
}

fn already_upgraded(home: &NodeHome, args: &Args) -> Result<(), Failure> {
    let file: PathBuf = home.config_file();
    let config = load::load_config(home, &args.node.id, &Values::default())?;
    print_line(format_args!("Mixnode {} is already upgraded: {} is of this release.", args.node.id, file.display()))?;
    match &args.incentives_address {
        Some(address) if *address != config.node.incentives_address => print_line(format_args!(
            "The incentives address is still {:?}: set {} in that file to change it.",
            config.node.incentives_address,
            s::NODE_INCENTIVES_ADDRESS.about.key
        )),
        _ => Ok(()),
    }
}

fn print_line(line: impl std::fmt::Display) -> Result<(), Failure> {
    print_to(io::stdout(), line)
}

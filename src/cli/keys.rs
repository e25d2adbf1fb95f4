//! `keys`: shows a node's public keys, and backs up and restores all keys.

mod passphrase;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nym_mixnode_base::file::open_or_wait;
use nym_mixnode_base::staging::{self, CreateError};
use nym_mixnode_config::{NodeHome, Role, Values};
use nym_mixnode_keys::{KeyError, KeyFile, KeyFiles, archive, install, store};

use super::failure::read_exit;
use super::flags::NodeFlags;
use super::load::{Sources, load_config};
use super::output::print_to;
use super::{Exit, Failure, upgrade};
use passphrase::PassphraseFlags;

/// Longest backup that is read into memory; a real one takes 7 KiB.
const BACKUP_LEN_MAX: u64 = 1 << 20;

/// Show a node's public keys, back up its keys, or restore them
///
/// The keys define the node: to move its identity and reputation to another machine, move the keys.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeysCommand {
    /// Show the public keys and the paths of the key files
    Show {
        #[command(flatten)]
        node: NodeFlags,
    },
    /// Write all keys to a new file, encrypted with a passphrase
    ///
    /// The file is a tar archive of the PEM files in the age format: `age --decrypt FILE | tar x` also unpacks it.
    Backup {
        /// The file to write, which must not exist
        file: PathBuf,
        #[command(flatten)]
        node: NodeFlags,
        #[command(flatten)]
        passphrase: PassphraseFlags,
    },
    /// Restore all keys from a file that `keys backup` wrote
    ///
    /// Existing keys are never replaced. If the node has no configuration file, run `init` afterwards: it uses the
    /// restored keys.
    Restore {
        /// The file to read, or a pipe such as /dev/stdin
        file: PathBuf,
        #[command(flatten)]
        node: NodeFlags,
        #[command(flatten)]
        passphrase: PassphraseFlags,
    },
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    run_as(Role::Mixnode, args)
}

/// The same for a node of this role.
pub(super) fn run_as(role: Role, args: Args) -> Result<(), Failure> {
    match args.command {
        KeysCommand::Show { node } => show(&node.home_of(role)?, &node),
        KeysCommand::Backup { file, node, passphrase } => backup(&file, &node.home_of(role)?, &node, &passphrase),
        KeysCommand::Restore { file, node, passphrase } => restore(&file, &node.home_of(role)?, &node, &passphrase),
    }
}

fn show(home: &NodeHome, node: &NodeFlags) -> Result<(), Failure> {
    let files = key_files(home, node)?;
    let pair = |name, public, private| {
        let key = store::load_public(&files, public)?;
        let [public, private] = [public, private].map(|file| files.paths[file].display());
        Ok::<_, Failure>(format!("{name} key: {key}\n  public:  {public}\n  private: {private}"))
    };
    let identity = pair("Identity", KeyFile::PublicIdentity, KeyFile::PrivateIdentity)?;
    let sphinx = pair("Sphinx", KeyFile::PublicSphinx, KeyFile::PrivateSphinx)?;
    print_to(io::stdout(), format_args!("{identity}\n{sphinx}"))
}

fn backup(file: &Path, home: &NodeHome, node: &NodeFlags, passphrase: &PassphraseFlags) -> Result<(), Failure> {
    let pairs = store::load_pairs(&key_files(home, node)?.for_inspection())?;
    if file.symlink_metadata().is_ok() {
        // Fail before asking for a passphrase.
        return Err(CreateError::Exists(file.to_owned()).into());
    }
    let sealed = archive::seal(&pairs, passphrase.read_new()?)?;
    staging::create_file(file, 0o600, &sealed)?;
    print_to(
        io::stdout(),
        format_args!(
            "Saved the keys of {} {} (identity key {}) to {}\n\
             Without the passphrase the keys cannot be restored.",
            home.role().name(),
            node.id,
            pairs.identity.public_base58(),
            file.display(),
        ),
    )
}

fn restore(file: &Path, home: &NodeHome, node: &NodeFlags, passphrase: &PassphraseFlags) -> Result<(), Failure> {
    staging::finish(home.dir())?;
    let files = if home.config_file().exists() {
        key_files(home, node)?
    } else {
        upgrade::refuse_older(home, &node.id)?;
        // `init` looks for them here.
        let values = Sources::read(home, &node.id, &Values::default()).checked()?;
        KeyFiles::new(home.dir(), &nym_mixnode_config::keys(&values)?)
    };
    if !install::finish(&files)? {
        install::refuse_complete(&files).map_err(refusal)?;
    }
    let sealed = read(file)?;
    let pairs = archive::open(&sealed, file, passphrase.read_known(file)?)?;
    install::install(&files, &pairs).map_err(refusal)?;
    let paths = files.paths.iter().map(|path| format!("\n  {}", path.display())).collect::<Vec<_>>().concat();
    let identity = pairs.identity.public_base58();
    print_to(
        io::stdout(),
        format_args!("Restored the keys of {} {} (identity key {identity}) to{paths}", home.role().name(), node.id),
    )?;
    print_to(io::stdout(), format_args!("\n{}", next_step(home, node)))
}

/// Next step after the keys are restored.
fn next_step(home: &NodeHome, node: &NodeFlags) -> String {
    let program = home.role().program();
    if home.config_file().exists() {
        return format!("Start it with: {program} run {node}");
    }
    format!(
        "The node has no configuration yet. Create one that uses these keys with\n  \
         {program} init {node}\n\
         and the flags used on the old machine, such as --host and --validator, or copy\n  \
         {}\n\
         from the old machine. Stop the node there, then start it here with\n  \
         {program} run {node}\n\
         Only one machine may run the node at a time.",
        home.config_file().display()
    )
}

fn refusal(error: KeyError) -> Failure {
    let exists = matches!(error, KeyError::Create(CreateError::Exists(_)));
    let failure = Failure::from(error);
    if exists { failure.with_advice("keys are never replaced, so move it away first") } else { failure }
}

fn key_files(home: &NodeHome, node: &NodeFlags) -> Result<KeyFiles, Failure> {
    let config = load_config(home, &node.id, &Values::default())?;
    Ok(KeyFiles::new(home.dir(), &config.keys))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut contents = Vec::new();
    let read = open_or_wait(file).and_then(|open| open.take(BACKUP_LEN_MAX).read_to_end(&mut contents));
    match read {
        Ok(_) => Ok(contents),
        Err(error) => Err(Failure::new(read_exit(&error), format_args!("{} cannot be read: {error}", file.display()))),
    }
}

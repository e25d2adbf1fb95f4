//! Terraform in a copy of the modules, with providers from a directory, and without a network.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::netns::NetNs;
use crate::part::{part, root};

/// Implementation of `hashicorp/aws` and `hashicorp/google`.
#[derive(Clone, Copy)]
pub(crate) enum Provider {
    /// The schemas of the current versions.
    Schemas,
    /// The newest available real provider of AWS.
    RealAws,
}

/// Terraform in a temporary copy of `terraform/`, in a network namespace with loopback only.
pub(crate) struct Terraform {
    folder: PathBuf,
    program: PathBuf,
    network: NetNs,
}

impl Terraform {
    pub(crate) fn new(provider: Provider) -> Self {
        Self::with(provider, &part("terraform"))
    }

    /// `OpenTofu` in place of Terraform.
    pub(super) fn opentofu() -> Self {
        Self::with(Provider::Schemas, &part("opentofu"))
    }

    fn with(provider: Provider, terraform: &Path) -> Self {
        let mirror = part("terraform-providers").join(match provider {
            Provider::Schemas => "schemas",
            Provider::RealAws => "real",
        });
        let folder =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("terraform-{:08x}", rand::random::<u32>()));
        fs::create_dir_all(&folder).unwrap();
        passes(Command::new("cp").arg("-r").arg(root().join("terraform")).arg(folder.join("tree")));
        let settings = format!(
            "disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = {:?}\n  }}\n}}\n",
            mirror.to_str().unwrap()
        );
        fs::write(folder.join("settings"), settings).unwrap();
        let program = folder.join("terraform");
        symlink(terraform, &program).unwrap();
        Self { folder, program, network: NetNs::new("terraform") }
    }

    /// The copy of `terraform/<module>`.
    pub(crate) fn folder(&self, module: &str) -> PathBuf {
        self.folder.join("tree").join(module)
    }

    pub(crate) fn init(&self, module: &str) {
        self.run(module, &["init", "-backend=false"]);
    }

    /// Runs Terraform in the directory of the module, and returns its output.
    #[track_caller]
    pub(crate) fn run(&self, module: &str, arguments: &[&str]) -> String {
        passes(self.command(module, arguments).arg("-no-color"))
    }

    /// A command in the same network namespace.
    pub(super) fn inside(&self, program: &Path) -> Command {
        self.network.command(program.to_str().unwrap())
    }

    /// A command that runs Terraform in the directory of the module.
    pub(crate) fn command(&self, module: &str, arguments: &[&str]) -> Command {
        let mut command = self.inside(&self.program);
        self.prepare(&mut command, module).args(arguments);
        command
    }

    /// Runs shell commands in the directory of the module, with approval of all changes.
    #[track_caller]
    pub(crate) fn type_in(&self, module: &str, commands: &str) -> String {
        let mut shell = self.inside(Path::new("bash"));
        let path = format!("{}:{}", self.folder.display(), env::var("PATH").unwrap());
        let yes = ["apply", "destroy"].map(|verb| (format!("TF_CLI_ARGS_{verb}"), "-auto-approve -no-color"));
        passes(self.prepare(&mut shell, module).env("PATH", path).envs(yes).args(["-euc", commands]))
    }

    fn prepare<'a>(&self, command: &'a mut Command, module: &str) -> &'a mut Command {
        command
            .env("TF_CLI_CONFIG_FILE", self.folder.join("settings"))
            .envs([("TF_IN_AUTOMATION", "1"), ("TF_INPUT", "0")])
            .current_dir(self.folder(module))
    }
}

impl Drop for Terraform {
    fn drop(&mut self) {
        // A panic in a drop would hide the first one.
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// A command that runs `program` in a new network namespace with loopback only.
pub(crate) fn isolated(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "ip link set lo up; exec \"$@\"", "sh"]).arg(program);
    command
}

/// The directories of all modules and examples, below `terraform/`.
pub(crate) fn modules() -> Vec<String> {
    let top = root().join("terraform");
    let mut modules = Vec::new();
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.file_name().unwrap().to_str().unwrap().starts_with('.') {
                folders.push(path);
            } else if path.file_name().unwrap() == "versions.tf" {
                modules.push(folder.strip_prefix(&top).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    modules.sort();
    modules
}

/// Runs a command that must succeed, and returns its standard output.
#[track_caller]
pub(crate) fn passes(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    out
}

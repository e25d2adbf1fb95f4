//! The Terraform modules: formatting, validation against the schemas of the current providers, linters, scanners, and
//! the tables of rejected inputs and plans. All tests run without a network.

mod boot;
mod cloud;
mod examples;
mod machine;
mod opentofu;
mod registry;
mod tool;
mod values;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use tool::{Provider, Terraform, isolated, modules, passes};

use crate::part::{part, root};

#[test]
fn the_modules_are_formatted() {
    let terraform = part("terraform");
    passes(
        isolated(&terraform).args(["fmt", "-check", "-recursive", "-diff", "-no-color"]).arg(root().join("terraform")),
    );
}

#[test]
fn modules_and_examples_are_valid_for_the_current_providers() {
    let terraform = Terraform::new(Provider::Schemas);
    let modules = modules();
    assert!(modules.len() >= 5, "modules are missing: {modules:?}");
    for module in modules {
        terraform.init(&module);
        terraform.run(&module, &["validate"]);
    }
}

#[test]
fn invalid_inputs_are_rejected_and_valid_inputs_planned() {
    let terraform = Terraform::new(Provider::Schemas);
    for (module, least) in TABLES {
        terraform.init(module);
        let told = terraform.run(module, &["test"]);
        assert!(passed(&told) >= least, "{module}: {told}");
    }
}

/// Modules with tests of their own, and the least number of these.
const TABLES: [(&str, u32); 7] = [
    ("bootstrap", 55),
    ("aws", 85),
    ("aws/network", 6),
    ("gcp", 80),
    ("gcp/network", 4),
    ("examples/eks", 15),
    ("examples/gke", 15),
];

/// The number of passed tests, if all have passed.
fn passed(told: &str) -> u32 {
    told.lines().find_map(|line| line.strip_prefix("Success! ")?.split(' ').next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn the_linter_of_modules_finds_nothing() {
    let tflint = part("tflint");
    for module in modules() {
        let folder = root().join("terraform").join(&module);
        let told = passes(isolated(&tflint).args(["--no-color", "--chdir"]).arg(&folder));
        assert_eq!(told, "", "{module}");
    }
}

#[test]
fn the_scanners_find_only_justified_exceptions() {
    let terraform = root().join("terraform");
    let options = ["--framework", "terraform", "--compact", "--quiet", "--skip-download", "-d"];
    let told = passes(isolated(&part("checkov")).args(options).arg(&terraform));
    assert!(told.contains("Failed checks: 0") && !told.contains("Passed checks: 0"), "{told}");
    let options = ["config", "--quiet", "--skip-check-update", "--exit-code", "1"];
    passes(isolated(&part("trivy")).args(options).arg(&terraform));
}

#[test]
fn the_tables_of_inputs_and_outputs_are_current() {
    let docs = part("terraform-docs");
    for module in ["bootstrap", "aws", "aws/network", "gcp", "gcp/network"] {
        let folder = root().join("terraform").join(module);
        let mut command = isolated(&docs);
        command.arg("--config").arg(root().join("terraform/.terraform-docs.yml")).arg("--output-check");
        let output = command.arg(&folder).output().unwrap();
        assert!(
            output.status.success(),
            "{module}: {}run make terraform-docs to update it",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Runs the commands of docs/terraform.md, from which a module with a repository of its own results.
#[test]
fn the_modules_are_complete_when_they_are_published_as_documented() {
    let page = fs::read_to_string(root().join("docs/terraform.md")).unwrap();
    let (_, section) = page.split_once("## Publish the modules").expect("a section");
    let commands = section.split("```").nth(1).and_then(|block| block.strip_prefix("shell\n")).expect("commands");
    let terraform = Terraform::new(Provider::Schemas);
    fs::create_dir(terraform.folder("published")).unwrap();
    symlink("..", terraform.folder("published/terraform")).unwrap();
    for (cloud, provider) in [("aws", "aws"), ("gcp", "google")] {
        let name = format!("terraform-{provider}-nym-mixnode");
        assert!(section.contains(&name), "{name} is missing");
        let commands = commands
            .replace("terraform-aws-nym-mixnode", &name)
            .replace("terraform/aws", &format!("terraform/{cloud}"));
        terraform.type_in("published", &commands);
        let module = format!("published/{name}");
        terraform.init(&module);
        terraform.run(&module, &["validate"]);
        let loaded = fs::read_to_string(terraform.folder(&module).join(".terraform/modules/modules.json")).unwrap();
        assert!(loaded.contains("modules/bootstrap") && !loaded.contains("../"), "{loaded}");
        assert!(terraform.folder(&module).join("README.md").exists(), "{name}");
    }
}

#[test]
fn lock_files_and_states_are_not_committed() {
    let listed = Command::new("git").args(["ls-files", "terraform"]).current_dir(root()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.lines().count() > 20, "{listed}");
    let private = |name: &&str| {
        name.contains(".terraform/")
            || name.ends_with(".lock.hcl")
            || name.contains(".tfstate")
            || name.ends_with(".tfvars")
    };
    assert_eq!(listed.lines().find(private), None);
}

//! The same tests of the modules with `OpenTofu`.

use std::fs;

use super::tool::{Terraform, modules};
use super::{TABLES, passed};

/// Its `run` blocks accept overrides of whole resources only, so this run cannot give two subnets different zones.
const OF_INSTANCES: &str = "run \"nodes_go_around_the_given_subnets\" {";

/// Removes what the language of `OpenTofu`'s tests lacks. It needs no `override_during`: its plans have simulated values.
fn adapted(terraform: &Terraform, module: &str) {
    let Ok(tests) = fs::read_dir(terraform.folder(module).join("tests")) else { return };
    for entry in tests {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let (mut kept, mut left_out) = (String::new(), false);
        for line in text.lines() {
            left_out |= line == OF_INSTANCES;
            if !left_out && !line.trim_start().starts_with("override_during") {
                kept.push_str(line);
                kept.push('\n');
            }
            left_out &= line != "}";
        }
        fs::write(path, kept).unwrap();
    }
}

fn passes_the_tests_of(tables: &[(&str, u32)]) {
    let opentofu = Terraform::opentofu();
    for (module, least) in tables {
        adapted(&opentofu, module);
        opentofu.init(module);
        let told = opentofu.run(module, &["test"]);
        assert!(passed(&told) >= least - 1, "{module}: {told}");
    }
}

#[test]
fn opentofu_passes_the_tests_of_the_bootstrap_module() {
    passes_the_tests_of(&TABLES[..1]);
}

#[test]
#[ignore = "takes minutes; run it with `make kit-opentofu`"]
fn opentofu_accepts_all_modules_and_passes_their_tests() {
    let opentofu = Terraform::opentofu();
    for module in modules() {
        adapted(&opentofu, &module);
        opentofu.init(&module);
        opentofu.run(&module, &["validate"]);
    }
    passes_the_tests_of(&TABLES);
}

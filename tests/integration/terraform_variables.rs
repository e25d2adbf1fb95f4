//! The variables that the Terraform modules share, and the tests of their values, are written from one source.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_shared_variables_are_current_in_every_module() {
    let terraform = Path::new(env!("CARGO_MANIFEST_DIR")).join("terraform");
    let written = tempfile::tempdir().unwrap();
    let generated = Command::new(terraform.join("shared/generate")).arg(written.path()).status().unwrap();
    assert!(generated.success(), "{generated}");
    let mut modules: Vec<_> = fs::read_dir(written.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    modules.sort();
    assert_eq!(modules, ["aws", "bootstrap", "gcp"]);
    for module in modules {
        for (file, contents) in
            [("variables-common.tf", "variable \"image\""), ("tests/refused-common.tftest.hcl", "run \"no_node_id\"")]
        {
            let file = Path::new(&module).join(file);
            let read = |folder: &Path| fs::read_to_string(folder.join(&file)).unwrap();
            let (is, expected) = (read(&terraform), read(written.path()));
            assert!(expected.contains(contents), "{expected}");
            assert!(is == expected, "terraform/{} differs: run make terraform-variables", file.display());
        }
    }
}

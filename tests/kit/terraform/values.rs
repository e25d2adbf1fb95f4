//! Values that generators of configurations write: `null` for a variable that is not set, and values that are unknown
//! before `apply`, because another resource determines them.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::examples::{declared, plans, required};
use super::tool::{Provider, Terraform, modules};

/// The planned resources by address, and the outputs by name.
fn planned(plan: &Value) -> BTreeMap<String, &Value> {
    let resources = plan["resource_changes"].as_array().into_iter().flatten();
    let resources = resources.map(|change| (change["address"].as_str().unwrap().to_owned(), &change["change"]));
    let outputs = plan["output_changes"].as_object().into_iter().flatten();
    resources.chain(outputs.map(|(name, change)| (name.clone(), change))).collect()
}

#[test]
fn null_means_the_default_for_every_optional_variable() {
    let terraform = Terraform::new(Provider::Schemas);
    let mut count = 0;
    for module in modules() {
        let optional: Vec<_> = declared(&module).into_iter().filter(|(_, optional)| *optional).collect();
        let given = required(&module);
        let nulls = optional.iter().filter(|(name, _)| !given.contains(&format!("  {name} = ")));
        let nulls: Vec<_> = nulls.map(|(name, _)| format!("  {name} = null\n")).collect();
        count += nulls.len();
        let run = |name: &str, nulls: &str| {
            format!("run \"{name}\" {{\n  command = plan\n  variables {{\n{given}{nulls}  }}\n}}\n")
        };
        let plans = plans(&terraform, &module, &(run("unset", "") + &run("null", &nulls.concat())));
        let [unset, null] = [&plans[0], &plans[1]].map(planned);
        assert_eq!(unset.keys().collect::<Vec<_>>(), null.keys().collect::<Vec<_>>(), "{module}");
        for (name, value) in unset {
            assert_eq!(value, null[&name], "{module}: {name}");
        }
    }
    assert!(count > 100, "only {count} variables");
}

/// Variables whose value may come from a resource of the same configuration.
const OF_RESOURCES: [&str; 5] = ["image", "directory_url", "otlp_endpoint", "incentives_address", "location"];

#[test]
fn values_of_other_resources_need_not_be_known_before_apply() {
    let terraform = Terraform::new(Provider::Schemas);
    for module in ["bootstrap", "aws", "gcp"] {
        let folder = format!("unknown-{module}");
        fs::create_dir(terraform.folder(&folder)).unwrap();
        let given = required(module);
        let known = given.lines().filter(|line| !OF_RESOURCES.iter().any(|name| line.contains(&format!(" {name} "))));
        let unknown = OF_RESOURCES.map(|name| format!("  {name} = terraform_data.other.id\n")).concat();
        let values = "environment = { A = terraform_data.other.id }\n  collector = { image = terraform_data.other.id, \
                      configuration = terraform_data.other.id }\n";
        let text = format!(
            "resource \"terraform_data\" \"other\" {{}}\nmodule \"node\" {{\n  source = \"../{module}\"\n{}\n{unknown}  \
             {values}}}\noutput \"port\" {{\n  value = module.node.port\n}}\n",
            known.collect::<Vec<_>>().join("\n")
        );
        fs::write(terraform.folder(&folder).join("main.tf"), text).unwrap();
        let versions = fs::read_to_string(terraform.folder(module).join("versions.tf")).unwrap();
        fs::write(terraform.folder(&folder).join("versions.tf"), versions).unwrap();
        let plan = plans(&terraform, &folder, "run \"plan\" {\n  command = plan\n}\n").remove(0);
        assert_eq!(plan["output_changes"]["port"]["after"], 1789, "{module}: {plan:#}");
    }
}

//! The examples: each can be planned, its README shows the summary of the plan and how to remove every key disk, and
//! clusters meet the requirements of the chart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::tool::{Provider, Terraform};
use crate::cluster::{cluster, helm_program};
use crate::part::root;

const EXAMPLES: [&str; 7] = ["aws-node", "gcp-node", "aws-network", "gcp-network", "two-clouds", "eks", "gke"];

/// Answers of the clouds that plans depend on.
const CLOUDS: &str = r#"
mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }
  mock_data "aws_ami" {
    defaults = { id = "ami-0123456789abcdef0" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_subnet" {
    defaults = { availability_zone = "eu-central-1a", ipv6_cidr_block = "2a05:d014:1234:5600::/64" }
  }
  mock_resource "aws_subnet" {
    defaults = { id = "subnet-0123456789abcdef0" }
  }
  mock_resource "aws_vpc" {
    defaults = { ipv6_cidr_block = "2a05:d014:1234:5600::/56", cidr_block = "10.89.0.0/16" }
  }
}
"#;
const GOOGLE: &str = r#"
mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  mock_data "google_compute_zones" {
    defaults = { names = ["europe-west3-a", "europe-west3-b", "europe-west3-c"] }
  }
  mock_data "google_compute_subnetwork" {
    defaults = { stack_type = "IPV4_IPV6", ipv6_access_type = "EXTERNAL", network = "mixnet" }
  }
}
"#;

/// Values of all required variables of the module, in the directory `module` below `terraform/`.
pub(super) fn required(module: &str) -> String {
    let all = [
        ("node_id", "\"winston\""),
        ("project", "\"my-project\""),
        ("image", "\"registry.example/nym-mixnode:0.1.0\""),
        ("directory_url", "\"http://directory.example:8081\""),
        ("admin_cidr", "\"198.51.100.7/32\""),
        ("key_disks", "[\"/dev/sdf\"]"),
        ("name", "\"mixnet\""),
        ("region", if module.starts_with("gcp") { "\"europe-west3\"" } else { "\"eu-central-1\"" }),
        ("zones", "[\"eu-central-1a\"]"),
    ];
    let needed = declared(module).into_iter().filter(|(_, optional)| !optional).map(|(name, _)| name);
    // A mixnode needs the URL of its registry, which the modules cannot require because a registry needs none.
    let needed = needed.chain(module_of_nodes(module).then(|| "directory_url".to_owned())).collect::<BTreeSet<_>>();
    let value = |name: &str| all.iter().find(|(known, _)| *known == name).expect(name).1;
    needed.iter().flat_map(|name| ["  ", name.as_str(), " = ", value(name), "\n"]).collect()
}

fn module_of_nodes(module: &str) -> bool {
    ["bootstrap", "aws", "gcp"].contains(&module)
}

/// The variables of a module, and whether they are optional.
pub(super) fn declared(module: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("terraform").join(module)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tf") {
            let text = format!("\n{}", fs::read_to_string(path).unwrap());
            found.extend(text.split("\nvariable \"").skip(1).map(|rest| {
                let (name, rest) = rest.split_once('"').unwrap();
                let block = rest.split("\n}").next().unwrap();
                (name.to_owned(), block.lines().any(|line| line.starts_with("  default ")))
            }));
        }
    }
    found
}

fn folder(example: &str) -> PathBuf {
    root().join("terraform/examples").join(example)
}

fn readme(example: &str) -> String {
    fs::read_to_string(folder(example).join("README.md")).unwrap()
}

/// The block of commands in the README that contains `part`.
pub(super) fn commands(example: &str, part: &str) -> String {
    let readme = readme(example);
    let mut blocks = readme.split("```shell\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains(part)).expect(part).to_owned()
}

/// The plan of the example as JSON.
pub(super) fn plan(example: &str) -> &'static Value {
    static PLANS: OnceLock<BTreeMap<&str, Value>> = OnceLock::new();
    let plans = PLANS.get_or_init(|| {
        let terraform = Terraform::new(Provider::Schemas);
        EXAMPLES.map(|example| (example, planned(&terraform, example))).into()
    });
    &plans[example]
}

fn planned(terraform: &Terraform, example: &str) -> Value {
    let module = format!("examples/{example}");
    let run = format!("run \"plan\" {{\n  command = plan\n  variables {{\n{}  }}\n}}\n", required(&module));
    plans(terraform, &module, &run).remove(0)
}

/// The plans of these runs of `terraform test`, with simulated clouds.
pub(super) fn plans(terraform: &Terraform, module: &str, runs: &str) -> Vec<Value> {
    let versions = fs::read_to_string(terraform.folder(module).join("versions.tf")).unwrap();
    let mut clouds = String::new();
    for (provider, mock) in [("hashicorp/aws", CLOUDS), ("hashicorp/google", GOOGLE)] {
        clouds += if versions.contains(provider) { mock } else { "" };
    }
    if module.ends_with("two-clouds") {
        clouds = clouds.replace("europe-west3", "europe-west4");
    }
    let tests = terraform.folder(module).join("tests");
    fs::create_dir_all(&tests).unwrap();
    fs::write(tests.join("plan.tftest.hcl"), format!("{clouds}\n{runs}")).unwrap();
    terraform.init(module);
    let told = terraform.run(module, &["test", "-verbose", "-json", "-filter=tests/plan.tftest.hcl"]);
    let said = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let plans: Vec<_> =
        said.filter(|line| line["type"] == "test_plan").map(|mut line| line["test_plan"].take()).collect();
    assert_eq!(plans.len(), runs.matches("command = plan").count(), "{module}: {told}");
    plans
}

/// Addresses and values of the created resources of this type; of all types if `kind` is empty.
pub(super) fn made<'a>(plan: &'a Value, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let changes = plan["resource_changes"].as_array().unwrap().iter();
    let made = changes.filter(|change| change["change"]["actions"][0] == "create");
    let wanted = made.filter(|change| kind.is_empty() || change["type"] == kind);
    wanted.map(|change| (change["address"].as_str().unwrap(), &change["change"]["after"])).collect()
}

#[test]
fn each_example_can_be_planned_and_shows_the_summary() {
    for example in EXAMPLES {
        let summary = format!("Plan: {} to add, 0 to change, 0 to destroy.", made(plan(example), "").len());
        assert!(readme(example).contains(&summary), "{example}: the README does not show `{summary}`");
    }
}

#[test]
fn each_network_prints_its_explorer_and_waits_for_its_active_set() {
    for example in ["aws-network", "gcp-network", "two-clouds"] {
        let outputs = plan(example)["output_changes"].as_object().unwrap();
        assert!(outputs.contains_key("explorer") && outputs.contains_key("does_it_mix"), "{example}: {outputs:#?}");
        let steps = commands(example, "does_it_mix");
        assert!(steps.contains("terraform output explorer"), "{example}: {steps}");
    }
}

#[test]
fn each_example_says_what_it_costs_and_what_an_account_has_to_be_allowed() {
    const WORDS: [&str; 8] = ["no", "one", "two", "three", "four", "five", "six", "seven"];
    for example in EXAMPLES {
        let (plan, readme) = (plan(example), readme(example));
        for (kind, machine) in [("aws_instance", "c7i.large"), ("google_compute_instance", "n2-highcpu-2")] {
            let count = made(plan, kind).len();
            let said = format!("{} {machine}", WORDS[count]);
            assert!(count == 0 || readme.contains(&said), "{example}: the README does not count {said}");
        }
        // By default an account has 5 Elastic IPs per region.
        let more = made(plan, "aws_eip").len() > 5;
        assert!(!more || readme.contains("L-0263D0A3"), "{example}: the README does not say how to get Elastic IPs");
    }
}

#[test]
fn each_example_says_how_to_give_up_every_disk_of_keys() {
    for example in EXAMPLES {
        let disks = ["aws_ebs_volume", "google_compute_disk"].map(|kind| made(plan(example), kind)).concat();
        // `terraform state rm` with an address without an index removes all instances of a resource.
        let disks: BTreeSet<_> = disks.iter().map(|(address, _)| address.rsplit_once('[').unwrap().0).collect();
        let end = commands(example, "terraform destroy");
        let given_up: BTreeSet<_> = end.split('\'').skip(1).step_by(2).collect();
        assert_eq!(given_up, disks, "{example}");
    }
}

/// Machines have public addresses for their pods, and volumes with keys are kept.
#[test]
fn clusters_meet_the_requirements_of_the_chart() {
    for (example, port) in [("eks", "aws_security_group_rule"), ("gke", "google_compute_firewall")] {
        let plan = plan(example);
        let open = made(plan, port).iter().filter(|(address, _)| address.contains(".packets[")).count();
        assert_eq!(open, 2, "{example}: not open over both families");
        let said = |output: &str| plan["output_changes"][output]["after"].as_str().unwrap();
        let class = said("storage_class").strip_prefix("kubectl apply -f ").unwrap();
        let class: Value = serde_saphyr::from_str(&fs::read_to_string(root().join(class)).unwrap()).unwrap();
        assert_eq!(class["reclaimPolicy"], "Retain", "{example}: the keys are deleted with their claims");
        assert_eq!(class["volumeBindingMode"], "WaitForFirstConsumer", "{example}: the volume is in another zone");
        // Quotes mean nothing in these values.
        let taken = chart_takes(said("helm_install")).replace('"', "");
        assert!(taken.contains("image: registry.example/nym-mixnode:0.1.0\n"), "{example}: {taken}");
        assert!(taken.contains("hostNetwork: true\n"), "{example}: {taken}");
        let name = class["metadata"]["name"].as_str().unwrap();
        assert!(taken.contains(&format!("storageClassName: {name}\n")), "{example}: {taken}");
    }
    let subnets = made(plan("eks"), "aws_subnet");
    assert_eq!(subnets.len(), 3);
    assert!(subnets.iter().all(|(_, subnet)| subnet["map_public_ip_on_launch"] == true), "EKS refuses {subnets:?}");
    let plain = made(plan("aws-network"), "aws_subnet");
    assert!(plain.iter().all(|(_, subnet)| subnet["map_public_ip_on_launch"] == false), "{plain:?}");
}

#[test]
fn a_cluster_accepts_the_storage_classes() {
    for example in ["eks", "gke"] {
        let class = folder(example).join("storage-class.yaml");
        let asked = ["create", "--dry-run=server", "--validate=strict", "-f", class.to_str().unwrap()];
        let told = cluster().kubectl(&asked);
        assert!(told.contains("nym-keys created"), "{example}: {told}");
    }
}

/// The objects that the chart renders for the command of an output.
fn chart_takes(command: &str) -> String {
    let words = command.strip_prefix("helm install ").unwrap().split_whitespace();
    let rendered = Command::new(helm_program()).arg("template").args(words).current_dir(root()).output();
    let rendered = rendered.expect("helm");
    assert!(rendered.status.success(), "{command}: {}", String::from_utf8_lossy(&rendered.stderr));
    String::from_utf8(rendered.stdout).unwrap()
}

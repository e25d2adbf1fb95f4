//! The examples: each can be planned, and its README shows the plan's summary.

use std::fs;
use std::process::Command;

use super::tool::{Provider, Terraform};
use crate::cluster::helm_program;
use crate::part::root;

/// What the clouds would say, as far as a plan depends on it.
const CLOUDS: &str = r#"
mock_provider "aws" {
  override_during = plan
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }
  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }
  mock_data "aws_subnet" {
    defaults = { availability_zone = "eu-central-1a", ipv6_cidr_block = "2a05:d014:1234:5600::/64" }
  }
  mock_resource "aws_vpc" {
    defaults = { ipv6_cidr_block = "2a05:d014:1234:5600::/56", cidr_block = "10.89.0.0/16" }
  }
}
"#;
const GOOGLE: &str = r#"
mock_provider "google" {
  override_during = plan
  mock_data "google_compute_zones" {
    defaults = { names = ["europe-west3-a", "europe-west3-b", "europe-west3-c"] }
  }
}
"#;

/// Everything that the examples ask for.
fn variables(example: &str) -> String {
    let all = [
        ("project", "\"my-project\""),
        ("image", "\"registry.example/nym-mixnode:0.1.0\""),
        ("directory_url", "\"http://directory.example:8081\""),
        ("admin_cidr", "\"198.51.100.7/32\""),
    ];
    let declared = fs::read_to_string(root().join("terraform/examples").join(example).join("variables.tf")).unwrap();
    let asked = all.iter().filter(|(name, _)| declared.contains(&format!("variable \"{name}\"")));
    asked.flat_map(|(name, value)| ["  ", name, " = ", value, "\n"]).collect()
}

#[test]
fn each_example_can_be_planned_and_shows_the_summary() {
    let terraform = Terraform::new(Provider::Schemas);
    for example in ["aws-node", "gcp-node", "aws-network", "gcp-network", "two-clouds", "eks", "gke"] {
        let module = format!("examples/{example}");
        let versions = fs::read_to_string(terraform.folder(&module).join("versions.tf")).unwrap();
        let mut clouds = String::new();
        for (provider, mock) in [("hashicorp/aws", CLOUDS), ("hashicorp/google", GOOGLE)] {
            clouds += if versions.contains(provider) { mock } else { "" };
        }
        if example == "two-clouds" {
            clouds = clouds.replace("europe-west3", "europe-west4");
        }
        let run =
            format!("{clouds}\nvariables {{\n{}}}\n\nrun \"plan\" {{\n  command = plan\n}}\n", variables(example));
        let tests = terraform.folder(&module).join("tests");
        fs::create_dir_all(&tests).unwrap();
        fs::write(tests.join("plan.tftest.hcl"), run).unwrap();
        terraform.init(&module);
        let told = terraform.run(&module, &["test", "-verbose"]);
        let summary =
            told.lines().map(str::trim).find(|line| line.starts_with("Plan: ")).unwrap_or_else(|| panic!("{told}"));
        let installs = charts_taken(&told);
        assert_eq!(installs, usize::from(["eks", "gke"].contains(&example)), "{example}: {told}");
        let readme = fs::read_to_string(root().join("terraform").join(&module).join("README.md")).unwrap_or_default();
        assert!(readme.contains(summary), "{example}: the README does not show `{summary}`");
    }
}

/// How often an output says to install the chart, which has to take it.
fn charts_taken(told: &str) -> usize {
    let said = told.lines().filter_map(|line| line.split_once("\"helm install "));
    let commands: Vec<_> = said.filter_map(|(_, rest)| rest.split('"').next()).collect();
    for command in &commands {
        let words = command.split_whitespace();
        let rendered = Command::new(helm_program()).arg("template").args(words).current_dir(root()).output();
        let rendered = rendered.expect("helm");
        let (objects, error) = (String::from_utf8_lossy(&rendered.stdout), String::from_utf8_lossy(&rendered.stderr));
        assert!(objects.contains("image: registry.example/nym-mixnode:0.1.0\n"), "{command}: {error}{objects}");
    }
    commands.len()
}

//! The AWS module with the newest available real provider against a simulated AWS, and planned values compared with the
//! API descriptions of the clouds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;

use super::examples::{commands, made, plan};
use super::tool::{Provider, Terraform, passes};
use crate::part::part;
use crate::waiting::eventually;

/// Arguments that the real provider does not know. The copy of the module lacks them.
const TOO_NEW: [&str; 3] = ["user_data_replace_on_change", "http_protocol_ipv6 ", "stop_instance_before_detaching"];

/// A simulated AWS.
struct Aws {
    server: Child,
    endpoint: String,
}

impl Aws {
    /// Starts it in Terraform's network namespace.
    fn start(terraform: &Terraform) -> Self {
        let images = terraform.folder("images.json");
        fs::write(&images, images_of_amazon().to_string()).unwrap();
        let mut command = terraform.inside(&part("moto"));
        command.arg("5000").env("MOTO_AMIS_PATH", images).stdin(Stdio::null());
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let asks = || terraform.inside(Path::new("bash")).args(["-c", ": </dev/tcp/127.0.0.1/5000"]).output().unwrap();
        eventually("the simulated AWS answers", || asks().status.success().then_some(()));
        Self { server, endpoint: "http://127.0.0.1:5000".to_owned() }
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

fn images_of_amazon() -> Value {
    serde_json::json!([{
        "ami_id": "ami-0123456789abcdef0", "name": "al2023-ami-2023.9.20260101.0-kernel-6.1-x86_64",
        "description": "Amazon Linux 2023", "owner_id": "137112412989", "public": true,
        "virtualization_type": "hvm", "architecture": "x86_64", "state": "available", "platform": null,
        "image_type": "machine", "hypervisor": "xen", "root_device_name": "/dev/xvda", "root_device_type": "ebs",
        "sriov": "simple", "creation_date": "2026-01-01T00:00:00.000Z"
    }])
}

/// Configuration of the real provider with the endpoint of the simulated AWS.
fn provider(aws: &Aws) -> String {
    let services = ["ec2", "iam", "cloudwatchlogs", "sts"]
        .map(|service| format!("    {service} = \"{}\"\n", aws.endpoint))
        .concat();
    format!(
        "provider \"aws\" {{\n  region = \"eu-central-1\"\n  access_key = \"test\"\n  secret_key = \"test\"\n  \
         skip_credentials_validation = true\n  skip_metadata_api_check = true\n  endpoints {{\n{services}  }}\n}}\n"
    )
}

/// A configuration that uses the AWS module with the real provider.
fn configuration(aws: &Aws, image: &str) -> String {
    format!(
        "{}module \"node\" {{\n  source = \"../aws\"\n  node_id = \"winston\"\n  image = \"{image}\"\n  \
         directory_url = \"http://directory.example:8081\"\n  region = \"eu-central-1\"\n}}\n\
         output \"node\" {{\n  value = module.node\n}}\n",
        provider(aws)
    )
}

/// Removes arguments that the provider does not know from the copies of the modules. The simulated AWS knows accounts
/// by number only.
fn made_older(terraform: &Terraform) {
    for module in ["aws", "aws/network", "examples/aws-network"] {
        for entry in fs::read_dir(terraform.folder(module)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "tf") {
                let text = fs::read_to_string(&path).unwrap().replace("\">= 6.0, < 7.0\"", "\">= 3.39\"");
                let text = text.replace("domain = \"vpc\"", "vpc = true").replace("\"amazon\"", "\"137112412989\"");
                let fits = |line: &&str| !TOO_NEW.iter().any(|new| line.trim_start().starts_with(new));
                fs::write(path, text.lines().filter(fits).flat_map(|line| [line, "\n"]).collect::<String>()).unwrap();
            }
        }
    }
}

/// The values of the resource with this address in the state.
fn resource(terraform: &Terraform, address: &str) -> Value {
    let state: Value = serde_json::from_str(&terraform.run("apply", &["show", "-json"])).unwrap();
    let mut modules = vec![state["values"]["root_module"].clone()];
    while let Some(module) = modules.pop() {
        let resources = module["resources"].as_array().cloned().unwrap_or_default();
        if let Some(found) = resources.into_iter().find(|resource| resource["address"] == address) {
            return found["values"].clone();
        }
        modules.extend(module["child_modules"].as_array().cloned().unwrap_or_default());
    }
    panic!("there is no {address}")
}

/// Both parts run at the same time, because the provider mostly waits.
#[test]
fn aws_makes_changes_replaces_and_destroys_and_the_keys_stay() {
    thread::scope(|both| {
        both.spawn(a_network_with_its_directory);
        a_node_is_changed_replaced_and_destroyed_and_its_keys_stay();
    });
}

fn a_node_is_changed_replaced_and_destroyed_and_its_keys_stay() {
    let terraform = Terraform::new(Provider::RealAws);
    made_older(&terraform);
    let folder = terraform.folder("apply");
    fs::create_dir(&folder).unwrap();
    let aws = Aws::start(&terraform);
    let configure = |image: &str| fs::write(folder.join("main.tf"), configuration(&aws, image)).unwrap();
    configure("registry.example/nym-mixnode:0.1.0");
    terraform.run("apply", &["init"]);
    let apply = ["apply", "-auto-approve"];
    terraform.run("apply", &apply);
    assert!(terraform.run("apply", &["plan", "-detailed-exitcode"]).contains("No changes"), "the plan is not stable");

    let look = |address: &str| resource(&terraform, &format!("module.node.{address}"));
    let (before, keys, eip) =
        (look("aws_instance.node[\"1\"]"), look("aws_ebs_volume.keys[\"1\"]"), look("aws_eip.node[\"1\"]"));
    assert_eq!(before["metadata_options"][0]["http_tokens"], "required");
    assert_eq!(before["metadata_options"][0]["http_put_response_hop_limit"], 2);
    assert_eq!(before["key_name"].as_str().unwrap_or_default(), "");
    assert_eq!(
        (&keys["encrypted"], &before["root_block_device"][0]["encrypted"]),
        (&Value::Bool(true), &Value::Bool(true))
    );

    // A new version replaces the machine and keeps its disk and addresses.
    configure("registry.example/nym-mixnode:0.2.0");
    let told = terraform.run("apply", &apply);
    assert!(told.contains("aws_instance.node[\"1\"]: Destruction complete"), "it was not replaced: {told}");
    let after = look("aws_instance.node[\"1\"]");
    assert_ne!(after["id"], before["id"]);
    assert_eq!(after["ipv6_addresses"], before["ipv6_addresses"], "another IPv6 address");
    assert_eq!(look("aws_ebs_volume.keys[\"1\"]")["id"], keys["id"], "another disk");
    assert_eq!(look("aws_volume_attachment.keys[\"1\"]")["instance_id"], after["id"], "the disk is not attached");
    assert_eq!(look("aws_eip.node[\"1\"]")["public_ip"], eip["public_ip"], "another IPv4 address");
    assert_eq!(look("aws_eip_association.node[\"1\"]")["instance_id"], after["id"], "the address is not associated");

    // `destroy` refuses to delete the keys. After their removal from the state it deletes everything else.
    let destroy = ["destroy", "-auto-approve"];
    let refused = terraform.command("apply", &destroy).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("aws_ebs_volume.keys") && said.contains("prevent_destroy"),
        "{said}"
    );
    let told = terraform.type_in("apply", &commands("aws-node", "terraform destroy"));
    assert!(told.contains("Destroy complete"), "{told}");

    // An imported disk is used again.
    let id = keys["id"].as_str().unwrap();
    terraform.type_in("apply", &commands("aws-node", "terraform import").replace("vol-0123456789abcdef0", id));
    let told = terraform.run("apply", &["plan"]);
    assert!(!told.contains("# module.node.aws_ebs_volume.keys"), "the disk is changed or created again: {told}");
    assert!(told.lines().any(|line| line.contains("volume_id ") && line.contains(id)), "another disk: {told}");
}

/// The AWS module compresses user data that exceeds the limit of EC2.
#[test]
fn cloud_init_unpacks_user_data_that_had_to_be_packed() {
    part("cloud-init");
    let terraform = Terraform::new(Provider::Schemas);
    let folder = terraform.folder("packed");
    fs::create_dir(&folder).unwrap();
    let text = "module \"node\" {\n  source = \"../bootstrap\"\n  node_id = \"winston\"\n  location = \"Zürich\"\n  \
                image = \"registry.example/nym-mixnode:0.1.0\"\n  directory_url = \"http://directory.example:8081\"\n  \
                key_disks = [\"/dev/sdf\"]\n}\noutput \"plain\" {\n  value = module.node.user_data\n}\n\
                output \"packed\" {\n  value = base64gzip(module.node.user_data)\n}\n";
    fs::write(folder.join("main.tf"), text).unwrap();
    terraform.run("packed", &["init"]);
    terraform.run("packed", &["apply", "-auto-approve"]);
    let [plain, packed] = ["plain", "packed"].map(|name| terraform.run("packed", &["output", "-raw", name]));
    let script = "import base64, sys\nfrom cloudinit.user_data import convert_string\n\
                  sys.stdout.buffer.write(convert_string(base64.b64decode(sys.argv[1])).get_payload(decode=True))";
    // cloud-init is a Debian package, so only Debian's Python finds it.
    let unpacked = passes(Command::new("/usr/bin/python3").args(["-c", script, &packed]));
    assert!(plain.contains("Zürich") && packed.len() < plain.len(), "{} of {}", packed.len(), plain.len());
    assert_eq!(unpacked, plain);
}

fn a_network_with_its_directory() {
    let terraform = Terraform::new(Provider::RealAws);
    made_older(&terraform);
    let aws = Aws::start(&terraform);
    let example = "examples/aws-network";
    let main = terraform.folder(example).join("main.tf");
    let text = fs::read_to_string(&main).unwrap();
    let own = "provider \"aws\" {\n  region = var.region\n}\n";
    assert!(text.contains(own), "{text}");
    fs::write(main, text.replace(own, &provider(&aws))).unwrap();
    terraform.type_in(example, &commands("aws-network", "terraform init"));
    let told = terraform.run(example, &["plan", "-detailed-exitcode"]);
    assert!(told.contains("No changes"), "the plan is not stable: {told}");
    let probe = terraform.run(example, &["output", "-raw", "does_it_mix"]);
    let directory = terraform.run(example, &["output", "-raw", "directory_url"]);
    assert!(directory.starts_with("http://") && directory.ends_with(":8081"), "{directory}");
    assert_eq!(probe, format!("nym-mixnode probe --directory {directory} --wait-active 15m"));
    assert_eq!(terraform.run(example, &["output", "-raw", "explorer"]), directory);
    let told = terraform.type_in(example, &commands("aws-network", "terraform destroy"));
    assert!(told.contains("Destroy complete"), "{told}");
}

/// A configuration that uses the Google module.
fn google_configuration(image: &str) -> String {
    format!(
        "provider \"google\" {{\n  project = \"p\"\n}}\nmodule \"node\" {{\n  source = \"../gcp\"\n  node_id = \
         \"Winston_Smith\"\n  image = \"{image}\"\n  directory_url = \"http://directory.example:8081\"\n  \
         region = \"europe-west3\"\n  node_count = 2\n  zones = [\"europe-west3-a\", \"europe-west3-b\"]\n  \
         collector = {{ image = \"c:1\", configuration = \"{{}}\" }}\n}}\n"
    )
}

/// The actions of the saved plan by type of resource.
fn actions(terraform: &Terraform, module: &str) -> BTreeMap<String, Vec<String>> {
    let plan: Value = serde_json::from_str(&terraform.run(module, &["show", "-json", "planned"])).unwrap();
    let mut actions = BTreeMap::<_, Vec<_>>::new();
    for change in plan["resource_changes"].as_array().unwrap() {
        let kind = change["type"].as_str().unwrap().to_owned();
        actions.entry(kind).or_default().push(change["change"]["actions"].to_string());
    }
    actions
}

#[test]
fn google_gets_a_new_machine_for_a_new_version_and_keeps_disk_and_addresses() {
    let terraform = Terraform::new(Provider::Schemas);
    let main = terraform.folder("plan").join("main.tf");
    fs::create_dir(terraform.folder("plan")).unwrap();
    fs::write(&main, google_configuration("registry.example/nym-mixnode:0.1.0")).unwrap();
    terraform.run("plan", &["init"]);
    terraform.run("plan", &["apply", "-auto-approve"]);
    terraform.run("plan", &["plan", "-detailed-exitcode"]);
    fs::write(&main, google_configuration("registry.example/nym-mixnode:0.2.0")).unwrap();
    terraform.run("plan", &["plan", "-out=planned"]);
    let actions = actions(&terraform, "plan");
    let both = |action: &str| vec![action.to_owned(); 2];
    assert_eq!(actions["google_compute_instance"], both(r#"["delete","create"]"#));
    assert_eq!(actions["google_compute_disk"], both(r#"["no-op"]"#));
    assert_eq!(actions["google_compute_address"], [both(r#"["no-op"]"#), both(r#"["no-op"]"#)].concat());
    let refused = terraform.command("plan", &["destroy", "-auto-approve"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("google_compute_disk.keys"), "{said}");
    terraform.type_in("plan", &commands("gcp-node", "terraform destroy"));
}

#[test]
fn google_would_take_the_planned_values() {
    let apis = google();
    let terraform = Terraform::new(Provider::Schemas);
    let folder = terraform.folder("plan");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("main.tf"), google_configuration("registry.example/nym-mixnode:0.1.0")).unwrap();
    terraform.run("plan", &["init"]);
    terraform.run("plan", &["plan", "-out=planned"]);
    let plan: Value = serde_json::from_str(&terraform.run("plan", &["show", "-json", "planned"])).unwrap();
    let mut check = Check::new(&apis);
    let mut modules = vec![&plan["planned_values"]["root_module"]];
    while let Some(module) = modules.pop() {
        for resource in module["resources"].as_array().into_iter().flatten() {
            check.resource(resource["address"].as_str().unwrap(), &resource["values"]);
        }
        modules.extend(module["child_modules"].as_array().into_iter().flatten());
    }
    assert_eq!(check.wrong, Vec::<String>::new());
    assert!(check.checked > 60, "only {} values were checked", check.checked);
}

#[test]
fn google_would_take_what_the_examples_plan() {
    let apis = google();
    for (example, least) in [("gcp-node", 30), ("gcp-network", 200), ("two-clouds", 60), ("gke", 40)] {
        let mut check = Check::new(&apis);
        for (address, values) in made(plan(example), "") {
            check.resource(address, values);
        }
        assert_eq!(check.wrong, Vec::<String>::new(), "{example}");
        assert!(check.checked >= least, "{example}: only {} values were checked", check.checked);
    }
}

#[test]
fn amazon_would_take_what_the_examples_plan() {
    let apis = amazon();
    for (example, least) in [("aws-node", 5), ("aws-network", 35), ("eks", 10)] {
        let mut check = Check::new(&apis);
        for (address, values) in made(plan(example), "") {
            check.resource(address, values);
        }
        assert_eq!(check.wrong, Vec::<String>::new(), "{example}");
        assert!(check.checked >= least, "{example}: only {} values were checked", check.checked);
    }
}

/// API descriptions of a cloud by prefix of the resource types that they describe.
type Apis = Vec<(&'static str, Value)>;

fn described(part_name: &str, files: &[(&'static str, &str)]) -> Apis {
    let folder = part(part_name);
    let read = |file: &str| serde_json::from_str(&fs::read_to_string(folder.join(file)).unwrap()).unwrap();
    files.iter().map(|(prefix, file)| (*prefix, read(file))).collect()
}

fn google() -> Apis {
    described("google-api", &[("google_compute_", "compute.v1.json"), ("google_container_", "container.v1.json")])
}

fn amazon() -> Apis {
    described("amazon-api", &[("aws_eks_", "eks.json"), ("aws_", "ec2.json")])
}

/// Name of the schema of this type of resource: on Google the name of the resource, on Amazon that of the request.
fn schema_name(prefix: &str, kind: &str) -> String {
    match (prefix, kind) {
        ("aws_eks_", "cluster") => "CreateClusterRequest".to_owned(),
        ("aws_eks_", "node_group") => "CreateNodegroupRequest".to_owned(),
        ("aws_eks_", "addon") => "CreateAddonRequest".to_owned(),
        ("aws_", "ebs_volume") => "CreateVolumeRequest".to_owned(),
        ("aws_", "eip") => "AllocateAddressRequest".to_owned(),
        ("aws_", "instance") => "RunInstancesRequest".to_owned(),
        ("aws_", "launch_template") => "RequestLaunchTemplateData".to_owned(),
        _ => camel(&format!("_{kind}")),
    }
}

/// Compares values with the enumerations, patterns and lists of names in the API descriptions.
struct Check<'a> {
    apis: &'a Apis,
    /// The schemas of the API of the current resource.
    schemas: &'a Value,
    checked: usize,
    wrong: Vec<String>,
}

impl<'a> Check<'a> {
    fn new(apis: &'a Apis) -> Self {
        Self { apis, schemas: &Value::Null, checked: 0, wrong: Vec::new() }
    }

    fn resource(&mut self, address: &str, values: &Value) {
        let start = [".google_", ".aws_"].iter().filter_map(|own| address.rfind(own)).max().map_or(0, |dot| dot + 1);
        let described = self.apis.iter().find_map(|(prefix, api)| {
            let (kind, _) = address[start..].strip_prefix(prefix)?.split_once('.')?;
            Some((&api["schemas"], schema_name(prefix, kind)))
        });
        let Some((schemas, name)) = described else { return };
        self.schemas = schemas;
        if schemas[&name].is_object() {
            self.value(address, &schemas[&name], values);
        }
    }

    fn value(&mut self, path: &str, schema: &Value, value: &Value) {
        let schema = schema["$ref"].as_str().map_or(schema, |name| &self.schemas[name]).clone();
        match value {
            Value::Object(fields) if schema["properties"].is_object() => {
                for (name, field) in fields {
                    if let Some(property) = property(&schema, name) {
                        self.value(&format!("{path}.{name}"), &property, field);
                    }
                }
            }
            Value::Object(fields) => fields.keys().for_each(|name| self.name(path, &schema, name)),
            Value::Array(items) => {
                let schema = if schema["items"].is_object() { schema["items"].clone() } else { schema };
                for item in items {
                    self.value(path, &schema, item);
                }
            }
            Value::String(text) => self.text(path, &schema, text),
            _ => {}
        }
    }

    /// Checks a name of a map if the description lists the valid names, as for kernel parameters.
    fn name(&mut self, path: &str, schema: &Value, name: &str) {
        let described = schema["description"].as_str().unwrap_or_default();
        let Some((_, listed)) = described.split_once("The following parameters are supported. ") else { return };
        self.checked += 1;
        if !listed.split_whitespace().any(|one| one == name) {
            self.wrong.push(format!("{path}.{name} is none of {listed}"));
        }
    }

    fn text(&mut self, path: &str, schema: &Value, text: &str) {
        self.checked += 1;
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.iter().any(|one| one == text)
        {
            self.wrong.push(format!("{path} = {text:?} is none of {allowed:?}"));
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && !matches(pattern, text)
        {
            self.wrong.push(format!("{path} = {text:?} does not match {pattern}"));
        }
    }
}

/// The API's name of an argument: the provider uses the singular for lists, and renames a few arguments.
fn property(schema: &Value, name: &str) -> Option<Value> {
    let own = match name {
        "allow" => "allowed",
        "protocol" => "IPProtocol",
        "nat_ip" => "natIP",
        "boot_disk" | "attached_disk" => "disks",
        "service_account" => "serviceAccounts",
        "image" => "sourceImage",
        "node_config" => "config",
        "node_locations" => "locations",
        _ => "",
    };
    let plain = if own.is_empty() { camel(name) } else { own.to_owned() };
    let volume = format!("volume{}", camel(&format!("_{name}")));
    let names = [plain.clone(), format!("{plain}s"), format!("{plain}es"), volume];
    names.iter().map(|name| &schema["properties"][name]).find(|property| property.is_object()).cloned()
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |made, word| {
        let (head, tail) = word.split_at(word.len().min(1));
        made + &head.to_uppercase() + tail
    })
}

/// Whether the whole text matches the pattern.
fn matches(pattern: &str, text: &str) -> bool {
    let script = "import re, sys; sys.exit(not re.fullmatch(sys.argv[1], sys.argv[2]))";
    Command::new("python3").args(["-c", script, pattern, text]).status().unwrap().success()
}

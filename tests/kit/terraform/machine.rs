//! Machines as in a cloud: with cloud-init and disks, in a network namespace with the metadata service of the cloud, a
//! mixnode registry, and an image registry.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nym_mixnode_api::Topology;

use super::tool::passes;
use crate::http;
pub(super) use crate::machine::Machine;
use crate::metadata::{Answers, Metadata};
use crate::netns::NetNs;
use crate::part::{part, root};
use crate::waiting::eventually;

/// The image registry, at an address that Docker uses without TLS.
const REGISTRY: &str = "127.0.0.1:5000";
/// URL of the mixnode registry.
pub(super) const DIRECTORY: &str = "http://127.0.0.1:8081";

/// A network in which machines are booted, one at a time.
pub(super) struct Place {
    netns: NetNs,
    servers: Vec<Child>,
    scratch: tempfile::TempDir,
    system: PathBuf,
    _metadata: Metadata,
}

impl Place {
    /// A cloud whose metadata service reports `v4` and `v6` as public addresses, with the system image `system`.
    pub(super) fn new(v4: &'static str, v6: &'static str, system: &str) -> Self {
        let netns = NetNs::new("cloud");
        for address in ["169.254.169.254/32", "fd00:ec2::254/128", "10.126.5.7/24"] {
            netns.ip(&format!("address add {address} dev lo"));
        }
        let answers = Answers { public_v4: Some(v4), public_v6: Some(v6), token_uses: 1000, ..Answers::default() };
        let metadata =
            Metadata::serve(|address| netns.listen(address), &["169.254.169.254:80", "[fd00:ec2::254]:80"], answers);
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut place = Self { netns, servers: Vec::new(), scratch, system: part(system), _metadata: metadata };
        place.serve(place.netns.command(part("crane").to_str().unwrap()).args([
            "registry",
            "serve",
            "--address",
            REGISTRY,
        ]));
        let store = place.scratch.path().join("registry.sqlite");
        let registry = ["registry", "--listen", "127.0.0.1:8081", "--allow-private", "--data", store.to_str().unwrap()];
        place.serve(place.netns.command(env!("CARGO_BIN_EXE_nym-mixnode")).args(registry));
        place
    }

    /// Starts stand-ins of the clouds' stores of secrets, and of an image registry that requires a login.
    pub(super) fn keep_secrets(&mut self) {
        let program = root().join("tests/kit/terraform/stores.py");
        self.serve(self.netns.command(part("moto").to_str().unwrap()).arg(program));
    }

    fn serve(&mut self, command: &mut Command) {
        self.servers.push(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    /// Pushes the image with this tag and a unique label. Returns its reference and digest.
    pub(super) fn push_image(&self, tag: &str) -> (String, String) {
        let reference = format!("{REGISTRY}/nym-mixnode:{tag}");
        let crane = |arguments: &[&str]| {
            let mut command = self.netns.command(part("crane").to_str().unwrap());
            command.args(arguments).output().unwrap()
        };
        let archive = crate::image::archive();
        let push = ["push", "--insecure", archive.to_str().unwrap(), &reference];
        eventually("the registry accepts the image", || crane(&push).status.success().then_some(()));
        let output =
            crane(&["mutate", "--insecure", &reference, "--label", &format!("tag={tag}"), "--tag", &reference]);
        let error = String::from_utf8_lossy(&output.stderr);
        let told = String::from_utf8_lossy(&output.stdout);
        let digest = told.trim().rsplit_once('@').unwrap_or_else(|| panic!("{error}")).1.to_owned();
        (reference, digest)
    }

    /// Identity key and announced addresses of the listed node.
    pub(super) fn listed(&self) -> Option<(String, Vec<String>)> {
        let topology = self.netns.inside(|| http::get("http://127.0.0.1:8081/api/mixmining/topology"))?;
        let mut topology: Topology = serde_json::from_str(&topology).unwrap();
        assert!(topology.mix_nodes.len() < 2, "several nodes: {topology:?}");
        let node = topology.mix_nodes.pop()?.registration;
        let addresses = node.announced_addresses().iter().map(ToString::to_string).collect();
        Some((node.identity_key, addresses))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for server in &mut self.servers {
            server.kill().ok();
            server.wait().ok();
        }
    }
}

/// A disk: a loop device on a file.
pub(super) struct Disk {
    pub(super) device: String,
    pub(super) file: PathBuf,
}

impl Disk {
    /// A disk of zeros.
    pub(super) fn blank(place: &Place, name: &str) -> Self {
        let file = place.path(name);
        fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
        let device = passes(Command::new("losetup").args(["--find", "--show"]).arg(&file));
        Self { device: device.trim().to_owned(), file }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("losetup").args(["--detach", &self.device]).status().ok();
    }
}

impl Machine {
    /// Boots the machine of this name with this user data.
    pub(super) fn boot(place: &Place, name: &str, user_data: &str, disk: (&str, &Disk)) -> Self {
        Self::boot_with(place, name, user_data, disk, "true")
    }

    /// Like `boot`, after running a command in the network namespace.
    pub(super) fn boot_with(place: &Place, name: &str, user_data: &str, disk: (&str, &Disk), prepare: &str) -> Self {
        place.netns.sh(prepare);
        let folder = place.path(name);
        let seed = folder.join("disk/var/lib/cloud/seed/nocloud");
        fs::create_dir_all(&seed).unwrap();
        fs::write(seed.join("user-data"), user_data).unwrap();
        fs::write(seed.join("meta-data"), format!("instance-id: {name}\n")).unwrap();
        fs::create_dir_all(folder.join("devices")).unwrap();
        let link = folder.join("devices").join(disk.0);
        fs::remove_file(&link).ok();
        std::os::unix::fs::symlink(&disk.1.device, link).unwrap();
        Self::start(&place.netns, &place.system, folder)
    }

    /// Whether the node reports that it mixes and is listed.
    pub(super) fn is_ready(&self) -> Option<()> {
        self.try_run("docker exec nym-mixnode /nym-mixnode health").status.success().then_some(())
    }
}

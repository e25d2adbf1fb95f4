//! Machines boot with the rendered cloud-init configuration, install Docker, and run the real image.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::machine::{DIRECTORY, Disk, Machine, Place};
use super::tool::{Provider, Terraform, passes};
use crate::part::{part, root};

const UNIT: &str = "nym-mixnode";
/// The firewall rules with which Container-Optimized OS starts.
const FIREWALL: &str = "iptables -P INPUT DROP; iptables -A INPUT -i lo -j ACCEPT";

/// The documented limit of 65 535, or the limit of this machine if it is lower.
fn nofile() -> u64 {
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    hard.unwrap_or(u64::MAX).min(65535)
}

/// The user data that the bootstrap module renders with these variables.
pub(super) fn rendered(variables: &[(&str, &str)]) -> String {
    let terraform = Terraform::new(Provider::Schemas);
    terraform.init("bootstrap");
    let mut text = format!("node_id = \"winston\"\ndirectory_url = \"{DIRECTORY}\"\nnofile = {}\n", nofile());
    for (name, value) in variables {
        writeln!(text, "{name} = {value}").unwrap();
    }
    fs::write(terraform.folder("bootstrap").join("terraform.tfvars"), text).unwrap();
    terraform.run("bootstrap", &["apply", "-auto-approve"]);
    terraform.run("bootstrap", &["output", "-raw", "user_data"])
}

#[test]
fn a_machine_keeps_its_identity_through_power_cuts_half_written_files_and_replacement() {
    let mut place = Place::new("36.68.243.18", "2a05:d014::18", "cloud-machine");
    place.keep_secrets();
    let by_id = "nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0";
    let first = place.push_image("0.1.0");
    let key_disks = format!("[\"/dev/disk/by-id/{by_id}\"]");
    let wanted =
        |image: &str| rendered(&[("cloud", "\"aws\""), ("key_disks", &key_disks), ("image", &format!("\"{image}\""))]);
    let user_data = wanted(&first.0);
    let disk = Disk::blank(&place, "keys");

    let machine = Machine::boot(&place, "one", &user_data, (by_id, &disk));
    let (identity, addresses) = machine.until("the directory lists the node", || place.listed());
    assert_eq!(addresses, ["36.68.243.18:1789", "[2a05:d014::18]:1789"]);
    serves_as_promised(&machine, &first.1);
    assert_eq!(machine.log(UNIT).matches("creating a file system").count(), 1);

    // A power failure loses writes that had not reached the disk.
    drop(machine);
    let folder = place.path("one/disk/etc/nym-mixnode");
    fs::write(folder.join("bin/key-disk"), "").unwrap();
    fs::remove_file(folder.join("bootstrapped")).unwrap();
    let machine = Machine::boot(&place, "one", &user_data, (by_id, &disk));
    machine.until("the node is up again", || machine.is_ready());
    assert_eq!(place.listed().unwrap().0, identity, "the identity is another one");
    assert!(!machine.log(UNIT).contains("creating a file system"), "the disk was formatted again");
    assert!(machine.log(UNIT).contains(&format!("runs 127.0.0.1:5000/nym-mixnode@{}", first.1)), "another digest");

    // Another tag: the old machine stops gracefully, and the new one gets its disk.
    machine.power_off();
    assert_eq!(place.listed(), None, "the node did not unregister");
    let missing = first.0.replace("0.1.0", "0.2.0");
    let machine = Machine::boot(&place, "two", &wanted(&missing), (by_id, &disk));
    let (after, addresses) = machine.until("the new machine is listed", || place.listed());
    assert_eq!((after, addresses.len()), (identity, 2), "the identity is another one");
    assert!(!machine.log(UNIT).contains("creating a file system"), "the disk was formatted again");
    serves_as_promised(&machine, &first.1);
    let second = the_previous_image_runs_until_the_new_one_is_there(&place, &machine, &missing);
    serves_as_promised(&machine, &second.1);
    a_missing_digest_is_reported(&machine, &second.0);
    secrets_are_read_with_the_permissions_of_the_machine(&machine);
    other_disks_are_left_alone(&place, &machine, &disk);
}

/// The machine reports that it cannot pull the image, and pulls it later.
fn the_previous_image_runs_until_the_new_one_is_there(
    place: &Place,
    machine: &Machine,
    missing: &str,
) -> (String, String) {
    let errors = machine.run(&format!("journalctl --quiet --output=cat --priority=err --unit={UNIT}"));
    assert!(errors.contains(&format!("cannot pull {missing}: running the previous image")), "{errors}");
    let timer = "nym-mixnode-image.timer";
    assert_eq!(machine.run(&format!("systemctl is-active {timer}")), "active");
    let image = place.push_image("0.2.0");
    machine.run("systemctl start nym-mixnode-image.service");
    machine.until("the new image runs", || {
        let output = machine.try_run("docker inspect --format '{{.Config.Image}}' nym-mixnode");
        String::from_utf8_lossy(&output.stdout).trim().ends_with(&image.1).then_some(())
    });
    assert_eq!(
        String::from_utf8_lossy(&machine.try_run(&format!("systemctl is-active {timer}")).stdout).trim(),
        "inactive"
    );
    image
}

/// The secrets of both clouds, and pulls from a registry that requires a login.
fn secrets_are_read_with_the_permissions_of_the_machine(machine: &Machine) {
    let arn = |name: &str| format!("arn:aws:secretsmanager:eu-central-1:123456789012:secret:{name}-a1b2c3");
    let settings = |cloud: &str, image: &str, login: &str, secret: &str, delay: &str| {
        format!(
            "echo '{{\"cloud\": \"{cloud}\", \"image\": \"{image}\", \"image_login\": \"{login}\", \"image_secret\": \"{secret}\", \
             \"environment\": {{\"NYM_MIXNODE_MIX_DELAY_MAX\": \"{delay}\"}}}}' >/etc/nym-mixnode/credentials.json\n"
        )
    };
    let script = fs::read_to_string(root().join("terraform/bootstrap/files/credentials")).unwrap();
    machine.run(&format!("cat >/etc/nym-mixnode/bin/credentials <<'END'\n{script}END\n"));
    let apis = "export AWS_ENDPOINT_URL=http://127.0.0.1:5001 GOOGLE_ENDPOINT_URL=http://127.0.0.1:5001\n";
    let read = "python3 /etc/nym-mixnode/bin/credentials";
    let private = "127.0.0.1:5002/nym-mixnode:0.1.0";
    machine.run("command -v python3");
    let refused = machine.try_run(&format!("docker pull {private}"));
    assert!(!refused.status.success(), "the registry requires no login");
    for (cloud, pull, delay) in [
        ("aws", arn("pull"), arn("delay")),
        ("gcp", "projects/p/secrets/pull".to_owned(), "projects/p/secrets/delay".to_owned()),
    ] {
        let settings = settings(cloud, private, "secret", &pull, &delay);
        machine.run(&format!("{apis}{settings}{read} environment nym-mixnode"));
        assert_eq!(machine.run("cat /run/nym-mixnode/nym-mixnode.secrets"), "NYM_MIXNODE_MIX_DELAY_MAX=7s");
        machine.run(&format!("{apis}bash /etc/nym-mixnode/bin/image {cloud} {private}; docker image rm {private}"));
    }
    let modes = machine.run("stat --format=%a /run/nym-mixnode/*.secrets /run/nym-mixnode/docker-aws/config.json");
    assert_eq!(modes, "600\n600");

    let repository = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/nym/mixnode:0.1.0";
    let role = settings("aws", repository, "role", "", &arn("delay"));
    machine.run(&format!("{apis}{role}{read} registry {repository}"));
    let written = machine.run("cat /run/nym-mixnode/docker/config.json");
    let host = repository.split('/').next().unwrap();
    assert_eq!(written, format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"eu-west-1-token\"}}}}}}"));
    let repository = "europe-west3-docker.pkg.dev/p/nym/mixnode:0.1.0";
    let role = settings("gcp", repository, "role", "", "");
    machine.run(&format!("{apis}{role}{read} registry {repository}"));
    let token = machine.run("sed 's/.*\"auth\": \"//; s/\".*//' /run/nym-mixnode/docker/config.json | base64 --decode");
    assert_eq!(token, "oauth2accesstoken:a-google-token");
    for (cloud, image) in
        [("gcp", repository), ("aws", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/nym/mixnode:0.1.0")]
    {
        let role = settings(cloud, image, "role", "", "");
        machine.run(&format!("{apis}{role}{read} registry otel/opentelemetry-collector:0.155.0"));
        let written = machine.run("cat /run/nym-mixnode/docker/config.json");
        assert_eq!(written, "{\"auths\": {}}", "another registry gets the token of {cloud}");
    }

    for (name, told) in [("gone", "ResourceNotFoundException"), ("long", "several lines")] {
        let settings = settings("aws", private, "none", "", &arn(name));
        let output = machine.try_run(&format!("{apis}{settings}{read} environment nym-mixnode"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(told) && !said.contains("two"), "{said}");
    }
    machine.run("rm /etc/nym-mixnode/credentials.json /etc/nym-mixnode/bin/credentials");
}

#[test]
fn a_google_machine_is_up_after_a_power_cut_while_docker_is_installed() {
    let place = Place::new("34.107.11.12", "2600:1900:4000:1234::", "cloud-machine-trixie");
    let image = place.push_image("0.1.0");
    let pinned = format!("\"{}@{}\"", image.0, image.1);
    let key_disks = "[\"/dev/disk/by-id/google-nym-keys\"]";
    let user_data = rendered(&[("cloud", "\"gcp\""), ("key_disks", key_disks), ("image", &pinned)]);
    let disk = Disk::blank(&place, "keys");
    let boot = || Machine::boot_with(&place, "one", &user_data, ("google-nym-keys", &disk), FIREWALL);

    // The power fails when Docker is unpacked but not configured.
    let hooks = place.path("one/disk/etc/dpkg/dpkg.cfg.d");
    fs::create_dir_all(&hooks).unwrap();
    let hook = "post-invoke=[ $DPKG_HOOK_ACTION != unpack -o ! -e /usr/sbin/dockerd ] || { touch /cut; sleep inf; }\n";
    fs::write(hooks.join("power"), hook).unwrap();
    let machine = boot();
    machine.until("Docker is unpacked", || place.path("one/disk/cut").exists().then_some(()));
    drop(machine);
    fs::remove_file(hooks.join("power")).unwrap();
    let packages = fs::read_to_string(place.path("one/disk/var/lib/dpkg/status")).unwrap();
    assert!(packages.contains("Package: docker.io\nStatus: install ok unpacked\n"), "Docker is configured");

    let machine = boot();
    let (_, addresses) = machine.until("the directory lists the node", || place.listed());
    assert_eq!(addresses, ["34.107.11.12:1789", "[2600:1900:4000:1234::]:1789"]);
    serves_as_promised(&machine, &image.1);
    assert_eq!(machine.run("dpkg --audit"), "", "packages are left half installed");
    assert_eq!(machine.run("iptables -S INPUT | grep -c 'dport 1789 -j ACCEPT'"), "1");
}

#[test]
#[ignore = "the archive of Ubuntu is not a registry of Debian's packages: make kit-ubuntu"]
fn a_machine_with_ubuntu_keeps_its_identity_and_leaves_in_order() {
    let place = Place::new("36.68.243.19", "2a05:d014::19", "cloud-machine-noble");
    let by_id = "nvme-Amazon_Elastic_Block_Store_vol0fedcba9876543210";
    let key_disks = format!("[\"/dev/disk/by-id/{by_id}\"]");
    let image = place.push_image("0.1.0");
    let user_data =
        rendered(&[("cloud", "\"aws\""), ("key_disks", &key_disks), ("image", &format!("\"{}\"", image.0))]);
    let disk = Disk::blank(&place, "keys");
    let machine = Machine::boot(&place, "one", &user_data, (by_id, &disk));
    let (identity, addresses) = machine.until("the directory lists the node", || place.listed());
    assert_eq!(addresses, ["36.68.243.19:1789", "[2a05:d014::19]:1789"]);
    assert_eq!(machine.run(". /etc/os-release; echo $ID $VERSION_ID"), "ubuntu 24.04");
    serves_as_promised(&machine, &image.1);
    assert_eq!(machine.run("dpkg --audit"), "", "packages are left half installed");
    let status = machine.run("cloud-init status --wait --format json");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!((&status["status"], &status["errors"]), (&"done".into(), &serde_json::json!([])), "{status:#}");

    machine.power_off();
    assert_eq!(place.listed(), None, "the node did not unregister");
    let machine = Machine::boot(&place, "one", &user_data, (by_id, &disk));
    let (after, _) = machine.until("the node is listed again", || place.listed());
    assert_eq!(after, identity, "the identity is another one");
    serves_as_promised(&machine, &image.1);
    assert!(!machine.log(UNIT).contains("creating a file system"), "the disk was formatted again");
}

/// Checks the limit on open files, the missing privileges, the digest of the image, and the unit.
fn serves_as_promised(machine: &Machine, digest: &str) {
    machine.until("the node is ready", || machine.is_ready());
    let pid = machine.run("docker inspect --format '{{.State.Pid}}' nym-mixnode");
    let limits = machine.run(&format!("cat /proc/{pid}/limits"));
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let files = files.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u64>>();
    assert_eq!(files, [nofile(); 2]);
    let status = machine.run(&format!("cat /proc/{pid}/status"));
    for line in
        ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Uid:\t65532\t65532\t65532\t65532"]
    {
        assert!(status.contains(line), "{line} is missing: {status}");
    }
    let run = machine.run("docker inspect --format '{{.Config.Image}} {{.HostConfig.ReadonlyRootfs}}' nym-mixnode");
    assert!(run.ends_with(&format!("@{digest} true")), "{run}");
    assert_eq!(machine.run(&format!("systemctl show --property=LimitNOFILE --value {UNIT}")), nofile().to_string());
    assert_eq!(machine.run(&format!("systemctl is-enabled {UNIT}")), "enabled");
}

/// An image without a digest under its own name does not run, and the error names it.
fn a_missing_digest_is_reported(machine: &Machine, image: &str) {
    let forgets = "docker() { [[ $* == *RepoDigests* ]] || command docker \"$@\"; }; export -f docker";
    let output = machine.try_run(&format!("{forgets}; bash /etc/nym-mixnode/bin/image other {image}"));
    let said = String::from_utf8_lossy(&output.stderr);
    let told = format!("cannot resolve {image}: the registry returned no digest");
    assert!(!output.status.success() && said.contains(&told), "{}: {said}", output.status);
}

/// The script changes no disk with foreign content, and recovers an incomplete file system of its own.
fn other_disks_are_left_alone(place: &Place, machine: &Machine, keys: &Disk) {
    let disk = Disk::blank(place, "other");
    machine.run(&format!("systemctl stop {UNIT} && umount /mnt/disks/nym-keys"));
    machine.run(&format!("test -b {0} || mknod {0} b 7 {1}", disk.device, disk.device.trim_start_matches("/dev/loop")));
    machine.run(&format!(
        "sed -i \"s#^KEY_DISKS=.*#KEY_DISKS='{}'#; s#^KEY_DISK_WAIT=.*#KEY_DISK_WAIT=1#\" \
        /etc/nym-mixnode/bootstrap.env",
        disk.device
    ));
    let foreign = [
        ("an ext4 of somebody else", "mkfs.ext4 -q -F -L photos", "contains LABEL=photos TYPE=ext4"),
        ("swap", "mkswap", "contains TYPE=swap"),
        ("a partition table", "printf 'label: gpt\\n,\\n' | sfdisk -q", "contains PTTYPE=gpt"),
        (
            "bytes without a file system",
            "yes nym | dd bs=4096 count=1 status=none of=",
            "contains data without a file system",
        ),
        (
            "one word in the middle",
            "printf nym | dd bs=1M seek=20 conv=notrunc,fsync status=none of=",
            "contains data without a file system",
        ),
    ];
    for (what, make, told) in foreign {
        let zero = format!("dd if=/dev/zero of={} bs=1M count=64 conv=fsync status=none", disk.device);
        let join = if make.ends_with('=') { "" } else { " " };
        machine.run(&format!("{zero}; {make}{join}{} >/dev/null 2>&1; sync", disk.device));
        let before = passes(Command::new("sha256sum").arg(&disk.file));
        let output = machine.try_run("bash /etc/nym-mixnode/bin/key-disk");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(told) && said.contains("was not changed"), "{what}: {said}");
        machine.run("sync");
        assert_eq!(passes(Command::new("sha256sum").arg(&disk.file)), before, "{what} has changed");
    }
    // A power failure during formatting leaves an incomplete file system and the mark.
    machine.run(&format!(
        "dd if=/dev/zero of={0} bs=1M count=64 conv=fsync status=none; yes x | dd of={0} bs=4096 count=9 status=none; \
         printf 'nym-mixnode: being formatted' | dd of={0} bs=1M seek=63 conv=fsync status=none",
        disk.device
    ));
    // Two disks with the same label are an error.
    let output = machine.try_run("bash /etc/nym-mixnode/bin/key-disk");
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(told.contains("was interrupted") && told.contains("creating a file system"), "{told}");
    assert!(told.contains(&format!("another disk than {}", disk.device)), "{told}");
    machine.run(&format!("rm {}", keys.device));
    let again =
        machine.run("bash /etc/nym-mixnode/bin/key-disk; findmnt /mnt/disks/nym-keys; umount /mnt/disks/nym-keys");
    assert!(!again.contains("creating a file system") && again.contains(&disk.device), "{again}");
}

#[test]
fn the_configuration_and_the_units_are_valid() {
    let cloud_init = part("cloud-init");
    let registry = ["\"registry\"", "{ image = \"collector:1\", configuration = \"receivers: {}\" }"];
    let key_disks = ("key_disks", "[\"/dev/sdf\"]");
    for (role, collector) in [("\"mixnode\"", "null"), (registry[0], registry[1])] {
        let image = ("image", "\"registry.example/nym-mixnode:0.1.0\"");
        let user_data = rendered(&[("role", role), ("collector", collector), key_disks, image]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("user-data");
        fs::write(&file, &user_data).unwrap();
        passes(Command::new(&cloud_init).args(["schema", "--config-file"]).arg(&file));
        let parsed: serde_json::Value = serde_saphyr::from_str(&user_data).unwrap();
        // The schema accepts any top-level key, and cloud-init ignores unknown ones.
        let keys = parsed.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(
            keys.iter().filter(|key| !["bootcmd", "runcmd", "write_files"].contains(*key)).count(),
            0,
            "{keys:?}"
        );
        let files = parsed["write_files"].as_array().unwrap();
        let units = files.iter().filter(|file| file["path"].as_str().unwrap().ends_with(".service"));
        assert_eq!(units.clone().count(), if collector == "null" { 1 } else { 2 });
        for unit in units {
            verify(folder.path(), unit);
        }
    }
}

/// systemd-analyze succeeds for misspelled keys, so any output is an error.
fn verify(folder: &Path, unit: &serde_json::Value) {
    let name = Path::new(unit["path"].as_str().unwrap()).file_name().unwrap();
    // The program of the unit is not installed here.
    let text = unit["content"].as_str().unwrap().replace("/usr/bin/docker", "/bin/true");
    fs::write(folder.join(name), text).unwrap();
    let docker = "[Unit]\nDescription=Docker\n[Service]\nExecStart=/bin/true\n";
    fs::write(folder.join("docker.service"), docker).unwrap();
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no", "--recursive-errors=one"]).arg(folder.join(name));
    let output = command.output().expect("systemd-analyze (apt-get install systemd)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{}: {said}", name.display());
}

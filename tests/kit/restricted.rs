//! The image under the restrictions of stricter platforms: any user, few open files, and a sandbox without newer system
//! calls, as in gVisor.

use std::fs;

use serde_json::json;

use crate::container::Place;
use crate::engine::docker;

/// System calls that a sandbox may lack. glibc creates threads with `clone3` where it exists.
const MISSING: [&str; 13] = [
    "bpf",
    "clone3",
    "copy_file_range",
    "epoll_pwait2",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "landlock_create_ruleset",
    "memfd_secret",
    "openat2",
    "pidfd_getfd",
    "process_madvise",
    "userfaultfd",
];

#[test]
fn a_node_mixes_as_any_user_with_1024_files_and_without_newer_system_calls() {
    let folder = tempfile::tempdir().expect("a folder");
    let profile = folder.path().join("seccomp.json");
    // ENOSYS, as in a kernel that does not have them.
    let missing = json!({"names": MISSING, "action": "SCMP_ACT_ERRNO", "errnoRet": 38});
    let text = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [missing]}).to_string();
    fs::write(&profile, text).expect("a profile");
    let seccomp = format!("seccomp={}", profile.display());
    let home = "/var/lib/nym-mixnode:uid=12345,gid=12345,mode=0700";
    let user = ["--user", "12345:12345", "--tmpfs", home];
    let options = [&user[..], &["--ulimit", "nofile=1024:1024", "--security-opt", &seccomp]].concat();

    let place = Place::v4();
    let node = place.node(&options);
    node.wait_healthy();
    let status = node.process_status();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).map(str::to_owned).expect("a line");
    assert_eq!(line("Uid:").split_whitespace().nth(1), Some("12345"), "{status}");
    assert!(node.log().contains("the hard limit on open files is 1024"), "{}", node.log());
    let applied = node.inspect()["HostConfig"]["SecurityOpt"].to_string();
    assert!(MISSING.iter().all(|call| applied.contains(call)) && line("Seccomp:").ends_with('2'), "{applied}");
    place.probe(&[]);
    docker(&["stop", "--time", "60", &node.name]);
    assert_eq!(node.wait_exit(), 0, "{}", node.log());
    assert!(place.topology().expect("the registry").mix_nodes.is_empty(), "it did not unregister");
}

//! Detects whether a node's files outlive its container.

use std::path::Path;

/// Warning for a node whose keys in `dir` are lost with the container.
pub(super) fn warning(dir: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    is_lost(&mounts, &std::path::absolute(dir).ok()?).then(|| {
        format!(
            "The keys are in {}, which is no persistent volume: the next container will have another identity; \
             mount one, as with -v mix:/var/lib/nym-mixnode",
            dir.display()
        )
    })
}

fn is_lost(mounts: &str, dir: &Path) -> bool {
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    // Of several mounts on one path, `max_by_key` returns the last one, which is in use.
    let holder = |path: &Path| {
        let holders = mounts.iter().filter(|mount| path.starts_with(mount.point));
        holders.max_by_key(|mount| mount.point.as_os_str().len())
    };
    let is_container = holder(Path::new("/")).is_some_and(|root| root.kind.contains("overlay"));
    is_container && holder(dir).is_some_and(Mount::is_temporary)
}

/// Parsed line of `/proc/self/mountinfo`.
struct Mount<'a> {
    /// Mounted directory within its file system.
    root: &'a str,
    point: &'a Path,
    kind: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (own, filesystem) = line.split_once(" - ")?;
        let mut own = own.split(' ').skip(3);
        Some(Self { root: own.next()?, point: Path::new(own.next()?), kind: filesystem.split(' ').next()? })
    }

    /// Whether it is the container's own layer, memory, an emptyDir, or an unnamed volume, which is named by a hash.
    fn is_temporary(&self) -> bool {
        let is_hash = |part: &str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let volume = self.root.split('/').skip_while(|part| *part != "volumes").nth(1);
        self.kind.contains("overlay")
            || self.kind == "tmpfs"
            || self.root.contains("/kubernetes.io~empty-dir/")
            || volume.is_some_and(is_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "1038 909 0:54 / / ro,relatime master:1 - overlay overlay rw,lowerdir=/l/A,upperdir=/u/diff\n\
        1039 1038 0:57 / /proc rw,nosuid - proc proc rw\n";
    const HOME: &str = "/var/lib/nym-mixnode/mixnodes/mixnode/data";

    fn is_lost_with(mount: &str) -> bool {
        is_lost(&format!("{ROOT}{mount}"), Path::new(HOME))
    }

    /// Mount of this host directory on the node's home.
    fn folder(root: &str) -> String {
        format!("1050 1038 254:0 {root} /var/lib/nym-mixnode rw - ext4 /dev/vda rw\n")
    }

    #[test]
    fn a_named_volume_or_a_folder_of_the_host_stays() {
        let claim = "/kubelet/pods/6f/volumes/kubernetes.io~local-volume/pv";
        for root in ["/docker/volumes/mix/_data", "/srv/mix", claim] {
            assert!(!is_lost_with(&folder(root)), "{root}");
        }
    }

    #[test]
    fn what_the_container_takes_with_it_does_not() {
        assert!(is_lost_with(""));
        assert!(is_lost_with("1050 1038 0:60 / /var/lib/nym-mixnode rw - tmpfs tmpfs rw\n"));
        assert!(is_lost_with("1050 1038 0:60 / /var/lib/other rw - ext4 /dev/vda rw\n"));
        for root in [
            format!("/docker/volumes/{}/_data", "0f".repeat(32)),
            format!("/containerd/io.containerd.grpc.v1.cri/containers/c/volumes/{}", "a1".repeat(32)),
            "/kubelet/pods/6f/volumes/kubernetes.io~empty-dir/home".to_owned(),
        ] {
            assert!(is_lost_with(&folder(&root)), "{root}");
        }
    }

    #[test]
    fn a_plain_machine_is_no_container() {
        let machine = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n23 22 0:60 / /tmp rw - tmpfs tmpfs rw\n";
        for mounts in [machine, "", "no mountinfo\n\u{fffd} - \n"] {
            assert!(!is_lost(mounts, Path::new("/tmp/home")), "{mounts}");
        }
    }
}

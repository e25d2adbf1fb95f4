//! Whether a container's files outlive the container.

use std::path::Path;

/// What becomes of the files in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// They stay, as far as can be told.
    Stay,
    /// They are in the container's own layer, or in memory.
    DieWithContainer,
    /// They are in a volume that the engine made unasked; the next container gets another one.
    LeftBehind,
    /// They are in an emptyDir of Kubernetes.
    DieWithPod,
}

/// What to tell the operator of a node whose keys are in `dir`, if they will not be there for the next container.
pub(super) fn warning(dir: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let fate = fate(&mounts, &std::path::absolute(dir).ok()?);
    let identity = match fate {
        Fate::Stay => return None,
        Fate::DieWithContainer => "the node's identity dies with this container",
        Fate::LeftBehind => "the next container will have another identity, for this volume has no name",
        Fate::DieWithPod => "the node's identity dies with this pod, for an emptyDir does",
    };
    let dir = dir.display();
    Some(format!(
        "The keys are in {dir}, which is no lasting volume: {identity}. Mount one, as with -v mix:/var/lib/nym-mixnode"
    ))
}

fn fate(mounts: &str, dir: &Path) -> Fate {
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    // Of mounts on one place, the last one counts.
    let root = mounts.iter().rfind(|mount| mount.point == Path::new("/"));
    let is_container = root.is_some_and(|root| root.kind.contains("overlay"));
    let holder =
        mounts.iter().filter(|mount| dir.starts_with(mount.point)).max_by_key(|mount| mount.point.as_os_str().len());
    match holder {
        Some(holder) if is_container => holder.fate(),
        _ => Fate::Stay,
    }
}

/// A line of `/proc/self/mountinfo`.
struct Mount<'a> {
    /// What of its file system it shows.
    shown: &'a str,
    point: &'a Path,
    kind: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (own, filesystem) = line.split_once(" - ")?;
        let mut own = own.split(' ').skip(3);
        Some(Self { shown: own.next()?, point: Path::new(own.next()?), kind: filesystem.split(' ').next()? })
    }

    fn fate(&self) -> Fate {
        let is_id = |part: &str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut parts = self.shown.split('/');
        if self.kind.contains("overlay") || self.kind == "tmpfs" {
            Fate::DieWithContainer
        } else if self.shown.contains("/kubernetes.io~empty-dir/") {
            Fate::DieWithPod
        } else if parts.any(|part| part == "volumes") && parts.next().is_some_and(is_id) {
            Fate::LeftBehind
        } else {
            Fate::Stay
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "1038 909 0:54 / / ro,relatime master:1 - overlay overlay rw,lowerdir=/l/A,upperdir=/u/diff\n\
        1039 1038 0:57 / /proc rw,nosuid - proc proc rw\n";
    const HOME: &str = "/var/lib/nym-mixnode/mixnodes/mixnode/data";

    fn fate_with(mount: &str) -> Fate {
        fate(&format!("{ROOT}{mount}"), Path::new(HOME))
    }

    fn volume(name: &str) -> String {
        format!("1050 1038 254:0 /docker/volumes/{name}/_data /var/lib/nym-mixnode rw - ext4 /dev/vda rw\n")
    }

    #[test]
    fn a_named_volume_or_a_folder_of_the_host_stays() {
        assert_eq!(fate_with(&volume("mix")), Fate::Stay);
        assert_eq!(fate_with("1050 1038 254:0 /srv/mix /var/lib/nym-mixnode rw - ext4 /dev/vda rw\n"), Fate::Stay);
        let claim = "/kubelet/pods/6f/volumes/kubernetes.io~local-volume/pv";
        assert_eq!(
            fate_with(&format!("1050 1038 254:0 {claim} /var/lib/nym-mixnode rw - ext4 /dev/vda rw\n")),
            Fate::Stay
        );
    }

    #[test]
    fn what_the_container_takes_with_it_does_not() {
        assert_eq!(fate_with(""), Fate::DieWithContainer);
        assert_eq!(fate_with("1050 1038 0:60 / /var/lib/nym-mixnode rw - tmpfs tmpfs rw\n"), Fate::DieWithContainer);
        assert_eq!(fate_with("1050 1038 0:60 / /var/lib/other rw - ext4 /dev/vda rw\n"), Fate::DieWithContainer);
        assert_eq!(fate_with(&volume(&"0f".repeat(32))), Fate::LeftBehind);
        let made = format!("/containerd/io.containerd.grpc.v1.cri/containers/c/volumes/{}", "a1".repeat(32));
        assert_eq!(
            fate_with(&format!("1050 1038 254:0 {made} /var/lib/nym-mixnode rw - ext4 /dev/vda rw\n")),
            Fate::LeftBehind
        );
        let empty = "/kubelet/pods/6f/volumes/kubernetes.io~empty-dir/home";
        assert_eq!(
            fate_with(&format!("1050 1038 254:0 {empty} /var/lib/nym-mixnode rw - ext4 /dev/vda rw\n")),
            Fate::DieWithPod
        );
    }

    #[test]
    fn a_plain_machine_is_no_container() {
        let machine = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n23 22 0:60 / /tmp rw - tmpfs tmpfs rw\n";
        assert_eq!(fate(machine, Path::new("/tmp/home")), Fate::Stay);
        assert_eq!(fate("", Path::new("/tmp/home")), Fate::Stay);
        assert_eq!(fate("no mountinfo\n\u{fffd} - \n", Path::new("/tmp/home")), Fate::Stay);
    }
}

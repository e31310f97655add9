//! What the machine says that the configuration cannot: how much memory this process may take, and on what kind of file
//! system a path lies. From `/proc` and `/sys`, so on Linux alone; elsewhere nothing is known and nothing is refused.

use std::{fs, path::Path};

/// File systems that other machines may have mounted too, by their names in `/proc/self/mountinfo`.
const SHARED: [&str; 17] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "fuse.ceph",
    "fuse.glusterfs",
    "fuse.sshfs",
    "fuse.s3fs",
    "fuse.rclone",
    "fuse.juicefs",
    "fuse.gcsfuse",
    "lustre",
    "gpfs",
    "beegfs",
    "ocfs2",
    "gfs2",
];

/// The memory that the control group of this process, or of its container, grants; `None` without a bound.
pub(super) fn memory() -> Option<u64> {
    // Version 2, then version 1, where "no bound" is a number near 2^63.
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .and_then(|text| text.trim().parse().ok())
        .filter(|bytes| *bytes < 1 << 60)
}

/// The file system that `file` lies on, or would once it is made, if other machines may share it.
pub(super) fn shared_storage(file: &Path) -> Option<String> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = fs::canonicalize(folder).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let kind = kind_of(&mounts, &folder)?;
    SHARED.contains(&kind).then(|| kind.to_owned())
}

/// The kind of the innermost mount that holds `path`; of two at one place the later covers the other.
///
/// proc_pid_mountinfo(5): the fifth field is the place, the first after the lone `-` the kind. Blanks in a place are
/// written `\040`; such a mount is not found, and nothing is said of it.
fn kind_of<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let holding = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let place = Path::new(before.split(' ').nth(4)?);
        path.starts_with(place).then(|| (place.components().count(), after.split(' ').next()))
    });
    holding.max_by_key(|(depth, _)| *depth).and_then(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:1 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /srv rw - ext4 /dev/vdb rw
31 30 0:41 / /srv/state rw,relatime shared:1 master:2 - nfs4 files:/state rw
32 31 0:42 / /srv/state/local rw - xfs /dev/vdc rw
33 22 0:43 / /covered rw - nfs files:/c rw
34 22 0:44 / /covered rw - tmpfs tmpfs rw
";

    #[test]
    fn a_path_is_of_the_innermost_mount_around_it() {
        for (path, kind) in [
            ("/var/lib/orqen", "ext4"),
            ("/srv/state", "nfs4"),
            ("/srv/state/orqen", "nfs4"),
            ("/srv/state/local/orqen", "xfs"),
            ("/srv/statement", "ext4"),
            ("/covered", "tmpfs"),
        ] {
            assert_eq!(kind_of(MOUNTS, Path::new(path)), Some(kind), "{path}");
        }
        assert_eq!(kind_of("", Path::new("/")), None);
        assert_eq!(kind_of("nonsense - \n - x\n", Path::new("/")), None);
    }

    #[test]
    fn a_temporary_folder_is_not_shared() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(shared_storage(&folder.path().join("orqen.db")), None);
        assert_eq!(shared_storage(Path::new("/no/such/folder/orqen.db")), None);
    }
}

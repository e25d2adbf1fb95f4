use super::*;
use KeyFile::{PrivateIdentity, PrivateSphinx, PublicIdentity, PublicSphinx};
use std::fs;
use std::os::unix::fs::PermissionsExt;

use pem::Pem;

/// Generates keys in a directory.
fn create(dir: &Path) -> Result<NodeKeys, KeyError> {
    let (staged, keys) = stage(dir)?;
    staged.commit()?;
    Ok(keys)
}

/// Creates a node's directory with keys.
fn node_with_keys() -> (tempfile::TempDir, KeyFiles, NodeKeys) {
    let dir = tempfile::tempdir().unwrap();
    let keys = create(&dir.path().join("data")).unwrap();
    let files = KeyFiles::new(dir.path(), &KeysConfig::default());
    (dir, files, keys)
}

fn load_error(files: &KeyFiles) -> KeyError {
    load(files).err().expect("the keys must not load")
}

#[test]
fn created_keys_load_again() {
    let (_dir, files, created) = node_with_keys();
    let loaded = load(&files).unwrap();
    assert_eq!(loaded.identity_public, created.identity_public);
    assert_eq!(loaded.sphinx.private(), created.sphinx.private());
    assert_eq!(loaded.sphinx.public_base58(), created.sphinx.public_base58());
    assert_eq!(load_public(&files, PublicIdentity).unwrap(), created.identity_public);
}

#[test]
fn files_have_the_format_of_0_9_2() {
    let (_dir, files, keys) = node_with_keys();
    let text = fs::read_to_string(&files.paths[PublicSphinx]).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0], "-----BEGIN X25519 PUBLIC KEY-----");
    assert_eq!(lines[1].len(), 44);
    assert_eq!(lines[2], "-----END X25519 PUBLIC KEY-----");
    assert_eq!(pem::parse(&text).unwrap().contents(), keys.sphinx.public());
    // The original writes CR LF.
    fs::write(&files.paths[PublicSphinx], text.replace('\n', "\r\n")).unwrap();
    load(&files).unwrap();
}

#[test]
fn private_files_are_private_and_public_ones_public() {
    let (_dir, files, _) = node_with_keys();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode(&files.paths[PrivateIdentity]), mode(&files.paths[PrivateSphinx])], [0o600; 2]);
    assert_eq!([mode(&files.paths[PublicIdentity]), mode(&files.paths[PublicSphinx])], [0o644; 2]);
}

#[test]
fn existing_keys_stay() {
    let (dir, files, _) = node_with_keys();
    let before = fs::read(&files.paths[PrivateIdentity]).unwrap();
    assert!(matches!(create(&dir.path().join("data")), Err(KeyError::Create(CreateError::Exists(_)))));
    assert_eq!(fs::read(&files.paths[PrivateIdentity]).unwrap(), before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_private_file_that_others_can_read_is_rejected_with_advice() {
    for mode in [0o604, 0o644, 0o666, 0o601, 0o664] {
        let (_dir, files, _) = node_with_keys();
        set_mode(&files.paths[PrivateSphinx], mode);
        let message = load_error(&files).to_string();
        let remedy = format!("chmod 600 {}", files.paths[PrivateSphinx].display());
        assert!(message.contains(&remedy) && !message.contains("new keys"), "{message}");
        assert_eq!(mode_of(&files.paths[PrivateSphinx]), mode);
    }
}

#[test]
fn a_file_of_its_own_that_a_group_can_read_is_closed() {
    let (_dir, mut files, _) = node_with_keys();
    for (mode, closed) in [(0o660, 0o600), (0o640, 0o600), (0o440, 0o400), (0o400, 0o400), (0o610, 0o600)] {
        set_mode(&files.paths[PrivateIdentity], mode);
        files.key_use = KeyUse::Inspect;
        load(&files).unwrap();
        assert_eq!(mode_of(&files.paths[PrivateIdentity]), mode, "an inspection changes nothing");
        files.key_use = KeyUse::Run;
        load(&files).unwrap();
        assert_eq!(mode_of(&files.paths[PrivateIdentity]), closed);
    }
}

#[test]
fn a_group_may_read_if_allowed_and_others_never() {
    let (_dir, mut files, _) = node_with_keys();
    files.access = PrivateAccess::Group;
    for (mode, closed) in [(0o400, 0o400), (0o440, 0o440), (0o640, 0o640), (0o660, 0o640), (0o450, 0o440)] {
        set_mode(&files.paths[PrivateIdentity], mode);
        load(&files).unwrap();
        assert_eq!(mode_of(&files.paths[PrivateIdentity]), closed);
    }
    for mode in [0o444, 0o644, 0o641] {
        set_mode(&files.paths[PrivateIdentity], mode);
        let message = load_error(&files).to_string();
        assert!(message.contains("chmod 600") && !message.contains("allow_group_read"), "{message}");
    }
}

#[test]
fn a_directory_in_which_others_can_replace_keys_is_rejected_with_advice() {
    let (dir, files, _) = node_with_keys();
    let data = dir.path().join("data");
    for mode in [0o777, 0o2777, 0o702] {
        set_mode(&data, mode);
        let message = load_error(&files).to_string();
        assert!(message.contains(&format!("chmod go-w {}", data.display())), "{message}");
        let message = create(&data.join("../data")).err().unwrap().to_string();
        assert!(message.contains("chmod go-w"), "key generation is rejected there too: {message}");
    }
    // Modes of a volume with fsGroup, and of a mounted secret.
    for mode in [0o2770, 0o1777] {
        set_mode(&data, mode);
        load(&files).unwrap();
    }
    // Symbolic links are resolved.
    set_mode(&data, 0o700);
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(&files.paths[PrivateSphinx], elsewhere.join("key")).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("key"), &files.paths[PrivateSphinx]).unwrap();
    load(&files).unwrap();
    set_mode(&elsewhere, 0o777);
    assert!(matches!(load_error(&files), KeyError::LooseDir { path, .. } if path.ends_with("elsewhere")));
}

#[test]
fn halves_of_different_pairs_are_refused() {
    let (_dir, files, _) = node_with_keys();
    let (_other_dir, other, _) = node_with_keys();
    fs::copy(&other.paths[PublicIdentity], &files.paths[PublicIdentity]).unwrap();
    assert!(matches!(load_error(&files), KeyError::Mismatch { public, .. } if public == files.paths[PublicIdentity]));
    let (_dir, files, _) = node_with_keys();
    fs::copy(&other.paths[PublicSphinx], &files.paths[PublicSphinx]).unwrap();
    assert!(matches!(load_error(&files), KeyError::Mismatch { public, .. } if public == files.paths[PublicSphinx]));
}

#[test]
fn errors_for_damaged_files_have_the_file_and_the_cause() {
    let spoil = |contents: &[u8]| {
        let (_dir, files, _) = node_with_keys();
        fs::write(&files.paths[PublicIdentity], contents).unwrap();
        load_error(&files)
    };
    assert!(matches!(spoil(b""), KeyError::NotPem { .. }));
    assert!(matches!(spoil(b"-----BEGIN ED25519 PUBLIC KEY-----\nAAAA\n"), KeyError::NotPem { .. }));
    assert!(matches!(spoil(&vec![b'a'; 100_000]), KeyError::NotPem { .. }));
    assert!(matches!(spoil(KeyText::new(PublicSphinx, &[1; 32]).as_bytes()), KeyError::WrongKind { .. }));
    for len in [31, 33] {
        let other = pem::encode(&Pem::new(PublicIdentity.format().label, vec![1; len]));
        assert!(matches!(spoil(other.as_bytes()), KeyError::WrongLength { len: found, .. } if found == len));
    }
    let (_dir, files, _) = node_with_keys();
    fs::remove_file(&files.paths[PrivateIdentity]).unwrap();
    assert!(matches!(load_error(&files), KeyError::Missing(path) if path == files.paths[PrivateIdentity]));
}

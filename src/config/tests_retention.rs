//! `[retention]`: the archive's folder is looked at before rows depend on it.

use std::{os::unix::fs::PermissionsExt, path::Path};

use super::{tests::calm, *};

#[test]
fn the_folder_of_the_archive_is_looked_at() {
    let folder = std::env::temp_dir().join(format!("hikyaku-config-archive-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let text = format!("[retention]\narchive_dir = \"{}\"\n", folder.display());
    let load = |files| read_str(Path::new("/c.toml"), &text, &Surroundings { files, ..calm() });
    let error = load(Files::Checked).expect_err("it is missing");
    let [error] = error.errors.as_slice() else { panic!("{error}") };
    assert_eq!(error.key, "retention.archive_dir");
    assert_eq!(error.place.as_ref().map(|place| place.line), Some(2));
    assert!(error.reason.contains("No such file") && error.fix.contains("install -d -m 0700"), "{error}");
    // Mail goes on without it: a daemon starts, and says so.
    let loaded = load(Files::Needed).expect("usable");
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(load(Files::Ignored).expect("not looked at").warnings.is_empty());

    std::fs::create_dir(&folder).unwrap();
    let mode = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o755);
    let loaded = load(Files::Checked).expect("a warning");
    assert!(loaded.warnings[0].reason.contains("open to other users"), "{:?}", loaded.warnings);
    mode(0o700);
    let loaded = load(Files::Checked).expect("as it should be");
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.config.retention.archive_dir.as_deref(), Some(folder.as_path()));

    std::fs::remove_dir(&folder).unwrap();
    std::fs::write(&folder, "a file").unwrap();
    let error = load(Files::Checked).expect_err("it is a file");
    assert!(error.errors[0].reason.contains("no folder"), "{error}");
    std::fs::remove_file(&folder).unwrap();
}

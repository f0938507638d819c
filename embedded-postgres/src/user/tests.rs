use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// Returns true if a user may enter a directory of this process's user, which has this mode.
fn enters(mode: u32, is_owner: bool, is_in_group: bool) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let metadata = directory.path().metadata().unwrap();
    let other = |id: u32, is_same: bool| if is_same { id } else { id + 1 };
    let (uid, gid) = (other(metadata.uid(), is_owner), other(metadata.gid(), is_in_group));
    std::fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
    User { uid, gid, name: "test" }.can_reach(directory.path()).unwrap()
}

#[test]
fn the_first_class_that_a_user_belongs_to_decides() {
    for (mode, owner, group, others) in [
        (0o700, true, false, false),
        (0o710, true, true, false),
        (0o711, true, true, true),
        (0o755, true, true, true),
        (0o744, true, false, false),
        (0o011, false, true, true),
        (0o001, false, false, true),
        (0o701, true, false, true),
        (0o666, false, false, false),
    ] {
        assert_eq!(enters(mode, true, true), owner, "{mode:o} as owner in the group");
        assert_eq!(enters(mode, true, false), owner, "{mode:o} as owner");
        assert_eq!(enters(mode, false, true), group, "{mode:o} in the group");
        assert_eq!(enters(mode, false, false), others, "{mode:o} as another");
    }
}

#[test]
fn a_directory_is_reached_through_all_above_it() {
    let parent = tempfile::tempdir().unwrap();
    let inner = parent.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let metadata = parent.path().metadata().unwrap();
    let user = User { uid: metadata.uid() + 1, gid: metadata.gid() + 1, name: "test" };
    for (outer, own, reaches) in
        [(0o711, 0o711, true), (0o700, 0o711, false), (0o711, 0o700, false)]
    {
        std::fs::set_permissions(parent.path(), Permissions::from_mode(outer)).unwrap();
        std::fs::set_permissions(&inner, Permissions::from_mode(own)).unwrap();
        assert_eq!(user.can_reach(&inner).unwrap(), reaches, "{outer:o}/{own:o}");
    }
    assert!(user.can_reach(&parent.path().join("missing")).is_err());
}

#[test]
fn root_needs_another_user_and_others_do_not() {
    let user = User::unprivileged().unwrap();
    assert_eq!(user.is_some(), nix::unistd::geteuid().is_root());
    if let Some(user) = user {
        assert!(user.uid > 0 && NAMES.contains(&user.name()), "{user:?}");
    }
}

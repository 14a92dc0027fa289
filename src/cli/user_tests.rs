//! Users on the command line: they come and go, and have a class.

use super::*;

#[test]
fn users_come_and_go_and_each_act_is_logged_without_the_key() {
    let rig = rig(Fake::busy());
    let target = target(&rig.dir);
    let made = run(&rig, "user add crm --api");
    assert_eq!((made.code, made.out.as_str()), (0, "k3y-that-was-made\n"), "the key alone is on stdout");
    assert!(made.err.contains("shown this once"));
    let given = run_at(&target, "user add erp --api --key-file -", "a given key\n");
    assert_eq!((given.code, given.out.as_str()), (0, "User erp was added.\n"), "{}", given.err);
    assert_eq!(run(&rig, "user add crm --api").code, 1, "taken");
    assert_eq!(run(&rig, "user add crm").code, 2, "--api is needed");
    assert_eq!(run_at(&target, "user add x --api --key-file -", "").code, 2, "an empty key");
    assert_eq!(run_at(&target, "user password crm --key-file -", "other").out, "User crm has another key.\n");
    assert_eq!(run(&rig, "user password nobody").code, 1);
    assert_eq!(run(&rig, "user class crm low").out, "Mail of crm is of class low.\n");
    assert!(
        run(&rig, "user list").out.contains("crm       api   smtp http view  low"),
        "{}",
        run(&rig, "user list").out
    );
    assert_eq!(run(&rig, "user class crm none").out, "Mail of crm has no class of its own.\n");
    assert_eq!((run(&rig, "user class nobody low").code, run(&rig, "user class crm soon").code), (1, 2));
    assert_eq!(run(&rig, "user add otp --api --class high").code, 0);
    assert!(run(&rig, "user list").out.contains("otp       api   smtp http view  high"));
    assert_eq!(run(&rig, "user remove crm").out, "User crm was removed.\n");
    let gone = run(&rig, "user remove crm");
    assert_eq!((gone.code, gone.err.as_str()), (1, "hikyaku: there is no user \"crm\"\n"));
    let audit = run(&rig, "log audit");
    for act in [
        "user.add",
        "user.password",
        "user.class",
        "key made, class high",
        "user.remove",
        "control socket",
        "API user, key given",
    ] {
        assert!(audit.out.contains(act), "{act}: {}", audit.out);
    }
    assert!(!audit.out.contains("a given key") && !audit.out.contains("k3y"));
    assert!(run(&rig, "user list").out.contains("shop-app  api   smtp http view"));
}

//! A limit of memory that the kernel holds the gateway to, as `MemoryMax=` of systemd and containers do: it is killed where it is
//! given too little, and runs, and stays within it, where it is given more (docs/uptime.md). As root.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
};

use crate::{
    LIMIT,
    machine::runs,
    support::{
        camera::Camera,
        gateway::{Builder, Gateway},
        viewer::{Kind, Viewer},
    },
};

const SIGKILL: i32 = 9;

/// A control group of the test's own. It is gone with this.
struct Group {
    folder: PathBuf,
    limit: &'static str,
    usage: &'static str,
}

impl Group {
    /// Of version 1 or 2, whichever this machine has for memory.
    fn new() -> Self {
        let name = format!("camgate-test-{}", std::process::id());
        let (root, limit, usage) = match Path::new("/sys/fs/cgroup/memory").exists() {
            true => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
            false => ("/sys/fs/cgroup", "memory.max", "memory.current"),
        };
        let folder = Path::new(root).join(name);
        fs::create_dir(&folder).expect("this test makes a control group, which takes root");
        Self { folder, limit, usage }
    }

    fn allow(&self, bytes: u64) {
        fs::write(self.folder.join(self.limit), bytes.to_string()).expect("nothing runs in it, or less is needed");
    }

    fn usage(&self) -> u64 {
        let text = fs::read_to_string(self.folder.join(self.usage)).expect("a control group for memory");
        text.trim().parse().expect("a number")
    }

    fn gateway(&self, camera: &Camera) -> Builder {
        let script = format!("echo $$ > '{}/cgroup.procs' && exec \"$0\" \"$@\"", self.folder.display());
        let words = ["sh", "-ec", &script].map(str::to_owned);
        let entry = format!("{}\nstart = \"always\"\n", camera.toml("front"));
        Gateway::builder(env!("CARGO_BIN_EXE_camgate")).config(entry).under(words.into())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Refused as long as something of it runs.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// What systemd sees is a process that was killed, which it starts again (`Restart=always`).
#[tokio::test]
async fn a_gateway_that_may_have_too_little_memory_is_killed_and_one_with_more_plays() {
    let (group, camera) = (Group::new(), Camera::builder().start());
    let mut killed = 0;
    let mut megabytes = 2;
    loop {
        group.allow(megabytes << 20);
        let mut gateway = group.gateway(&camera).launch();
        if runs(&gateway).await {
            break;
        }
        let status = gateway.wait_exit(LIMIT).await;
        assert_eq!(status.signal(), Some(SIGKILL), "{status} with {megabytes} MB: {}", gateway.log());
        killed += 1;
        megabytes *= 2;
        assert!(megabytes <= 1_024, "it needs that much?");
    }
    assert!(killed > 0, "it was not held to the limit");
    // Twice the least that it starts with has room for a viewer, too.
    group.allow(megabytes << 21);
    let gateway = group.gateway(&camera).spawn().await;
    let viewer = Viewer::join(gateway.whep("front")).await;
    viewer.wait_packets(Kind::Video, 10, LIMIT).await;
    viewer.wait_more(Kind::Video, 60, LIMIT).await;
    assert!(group.usage() <= megabytes << 21);
    println!("killed with {} MB, starts with {megabytes}, plays with {}", megabytes / 2, 2 * megabytes);
    assert_eq!(gateway.count_log(" WARN "), 0, "{}", gateway.log());
}

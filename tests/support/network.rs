//! Networks of their own, made of Linux network namespaces: a viewer, a gateway and a TURN server, each in a subnet
//! behind one router whose rules (nftables) are the network under test.
//!
//! ```text
//! viewer  192.168.7.2, 2001:db8:1::2   --+
//! gateway 198.51.100.2, 2001:db8:2::2  --+-- router (.1, ::1)
//! turn    203.0.113.2, 2001:db8:3::2   --+
//! ```

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::process;

pub const VIEWER: &str = "192.168.7.2";
pub const GATEWAY: &str = "198.51.100.2";
pub const TURN: &str = "203.0.113.2";
/// The router as the viewer sees it.
pub const ROUTER: &str = "192.168.7.1";
/// The router as the TURN server sees it.
pub const VIEWER_ROUTER: &str = "203.0.113.1";
/// The same where the gateway's router is another than the viewer's; it has to be added.
pub const GATEWAY_ROUTER: &str = "203.0.113.3";
pub const VIEWER_V6: &str = "2001:db8:1::2";
pub const GATEWAY_V6: &str = "2001:db8:2::2";

/// Hosts, their subnets, and the interfaces of the router that lead there (named as the hosts).
const HOSTS: [(&str, &str, &str); 3] = [
    ("viewer", "192.168.7", "2001:db8:1:"),
    ("gateway", "198.51.100", "2001:db8:2:"),
    ("turn", "203.0.113", "2001:db8:3:"),
];

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The network. Dropping it ends what was started in it with [`spawn`](Self::spawn) and removes it.
pub struct Network {
    prefix: String,
    children: Vec<Child>,
}

impl Network {
    /// A network where everybody reaches everybody. Needs root.
    pub fn new() -> Self {
        let prefix = format!("cg{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let network = Self { prefix, children: Vec::new() };
        let router = network.name("router");
        let mut script = vec![
            format!("ip netns add {router}"),
            format!("ip -n {router} link set lo up"),
            format!("ip netns exec {router} sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"),
        ];
        for (host, v4, v6) in HOSTS {
            let ns = network.name(host);
            script.extend([
                format!("ip netns add {ns}"),
                // Addresses must be usable at once: no duplicate address detection.
                format!(
                    "ip netns exec {ns} sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"
                ),
                format!("ip netns exec {router} sysctl -q -w net.ipv6.conf.default.accept_dad=0"),
                format!("ip -n {ns} link set lo up"),
                format!("ip -n {ns} link add eth0 type veth peer name {host} netns {router}"),
                format!("ip -n {ns} addr add {v4}.2/24 dev eth0"),
                format!("ip -n {router} addr add {v4}.1/24 dev {host}"),
                format!("ip -n {ns} addr add {v6}:2/64 dev eth0 nodad"),
                format!("ip -n {router} addr add {v6}:1/64 dev {host} nodad"),
                format!("ip -n {ns} link set eth0 up"),
                format!("ip -n {router} link set {host} up"),
                format!("ip -n {ns} route add default via {v4}.1"),
                format!("ip -n {ns} -6 route add default via {v6}:1"),
            ]);
        }
        sh(&script.join(" && "));
        network
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// Adds to the router's rules: chains `forward`, `input`, `prerouting` and `postrouting`, one rule a line, its chain
    /// first. The interfaces are named as the hosts.
    pub fn rules(&self, rules: &str) {
        let mut script = String::from(
            "add table inet net\n\
             add chain inet net forward { type filter hook forward priority 0; }\n\
             add chain inet net input { type filter hook input priority 0; }\n\
             add chain inet net prerouting { type nat hook prerouting priority -100; }\n\
             add chain inet net postrouting { type nat hook postrouting priority 100; }\n",
        );
        for rule in rules.lines().map(str::trim).filter(|rule| !rule.is_empty()) {
            script += &format!("add rule inet net {rule}\n");
        }
        self.run("router", &format!("nft -f - <<'END'\n{script}END"));
    }

    /// Runs a shell command on a host, or on `router`.
    pub fn run(&self, host: &str, command: &str) {
        sh(&format!("ip netns exec {} sh -ec '{}'", self.name(host), command.replace('\'', "'\\''")));
    }

    /// The arguments before a command that make it run on a host.
    pub fn on(&self, host: &str) -> Vec<String> {
        vec!["ip".into(), "netns".into(), "exec".into(), self.name(host)]
    }

    /// Starts a program on a host.
    pub fn spawn(&mut self, host: &str, program: &str, args: &[&str]) {
        let child = Command::new("ip")
            .args(["netns", "exec", &self.name(host), program])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        self.children.push(child);
    }

    /// Runs `test` on a host: sockets that it opens, threads and processes that it starts belong there.
    pub fn inside<T: Send>(&self, host: &str, test: impl Future<Output = T> + Send) -> T {
        let path = format!("/run/netns/{}", self.name(host));
        let namespace = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let run = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .unwrap_or_else(|error| panic!("cannot enter {path} (are you root?): {error}"));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(test)
        };
        std::thread::scope(|scope| match scope.spawn(run).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for child in &mut self.children {
            process::kill_tree(child.id());
            let _ = child.wait();
        }
        for host in ["viewer", "gateway", "turn", "router"] {
            let _ = Command::new("ip").args(["netns", "del", &self.name(host)]).stderr(Stdio::null()).status();
        }
    }
}

fn sh(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().expect("sh");
    assert!(
        output.status.success(),
        "this test makes network namespaces, which takes root, iproute2 and nftables: {}\n{script}",
        String::from_utf8_lossy(&output.stderr)
    );
}

//! Runs a program on a kernel that has no UDP GSO, as it sees it: the benchmark starts itself again with [`ARGUMENT`], puts
//! a seccomp filter on itself that refuses the socket option UDP_SEGMENT as a kernel before 4.18 does, and becomes the
//! program. What else it calls is not looked at, so that it costs what it costs without the filter.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

const ARGUMENT: &str = "--without-gso";

/// The arguments before a command that make it run so.
pub fn prefix() -> Vec<String> {
    let program = std::env::current_exe().expect("the path of this program");
    vec![program.to_string_lossy().into_owned(), ARGUMENT.to_owned()]
}

/// Becomes the other program, if this process was started for that.
pub fn become_program_if_wanted() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|argument| argument != ARGUMENT) {
        return;
    }
    let program = arguments.next().expect("a program");
    seccompiler::apply_filter(&filter()).expect("the kernel has seccomp");
    let error = Command::new(&program).args(arguments).exec();
    panic!("{}: {error}", program.display());
}

fn filter() -> BpfProgram {
    let is = |argument, value: libc::c_int| {
        SeccompCondition::new(argument, Length::Dword, SeccompCmpOp::Eq, value as u64).expect("a condition")
    };
    let conditions = vec![is(1, libc::SOL_UDP), is(2, libc::UDP_SEGMENT)];
    let rules = vec![(libc::SYS_setsockopt, vec![SeccompRule::new(conditions).expect("a rule")])];
    let refuse = SeccompAction::Errno(libc::ENOPROTOOPT as u32);
    let machine = std::env::consts::ARCH.try_into().expect("seccompiler knows this processor");
    let filter = SeccompFilter::new(rules.into_iter().collect(), SeccompAction::Allow, refuse, machine);
    filter.and_then(BpfProgram::try_from).expect("a filter")
}

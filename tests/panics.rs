//! What becomes of a panic: it ends no more than what was caught, is counted, and stands in the log without what it says.

#![allow(clippy::unwrap_used)]

use std::{
    fmt::Write as _,
    io::{self, Write},
    sync::{Arc, LazyLock, Mutex},
    thread,
};

use camgate::panics::{Panicked, Part, Whose, catch, caught, caught_task, kept_up, tell_in_log, totals};
use tokio::task::yield_now;

/// Everything that the log has, of all tests.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    tell_in_log();
    log
});

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The lines with `word`.
    fn lines(&self, word: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(word)).map(str::to_owned).collect()
    }
}

fn total(part: &str) -> u64 {
    totals().find(|(name, _)| *name == part).expect("a part").1
}

#[test]
fn a_panic_is_told_with_the_camera_and_the_place_and_without_what_it_says() {
    let (log, password) = (&*LOG, "hunter2-of-the-camera");
    let before = total("session");
    let whose = (&"front", &"session-7");
    let ended: Result<(), Panicked> =
        caught(Part::Session, Whose::session(whose.0, whose.1), || panic!("no room for {password}"));
    assert!(ended.is_err());
    let line = log.lines("session-7").pop().expect("a line");
    for part in ["ERROR", "part=\"session\"", "camera=front", "tests/panics.rs:", "its player begins another one"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(log.lines(password).is_empty(), "{line}");
    assert_eq!(total("session"), before + 1);
    // What stands in the source is no secret.
    let fail = || -> () { panic!("a text of the source") };
    assert!(caught(Part::Sound, Whose::camera(&"back"), fail).is_err());
    assert!(log.lines("camera=back")[0].contains("says=\"a text of the source\""));
}

#[test]
fn a_catch_within_a_catch_has_its_own() {
    let _log = &*LOG;
    let before = (total("pipeline"), total("worker"));
    let fail = || -> () { panic!("inside") };
    let outer = caught(Part::Worker, Whose::NOBODYS, || -> () {
        assert!(caught(Part::Pipeline, Whose::NOBODYS, fail).is_err());
        assert!(catch(fail).map_err(|caught| caught.tell(Part::Pipeline, Whose::NOBODYS)).is_err());
        panic!("outside")
    });
    assert!(outer.is_err());
    assert_eq!((total("pipeline"), total("worker")), (before.0 + 2, before.1 + 1));
}

#[tokio::test(start_paused = true)]
async fn a_task_is_begun_again_until_it_ends_by_itself() {
    let (log, before) = (&*LOG, total("addresses"));
    let mut begun = 0;
    let ended = kept_up(Part::Addresses, || {
        begun += 1;
        let number = begun;
        async move {
            yield_now().await;
            assert!(number > 3, "the first three fail");
            number
        }
    });
    assert_eq!(ended.await, 4);
    assert_eq!(total("addresses"), before + 3);
    let mut said = String::new();
    log.lines("part=\"addresses\"").iter().for_each(|line| writeln!(said, "{line}").unwrap());
    assert!(said.contains("they are found out anew"), "{said}");
}

/// Also on a thread where a task waits that somebody would catch: tokio goes on with another one there.
#[tokio::test]
async fn what_nobody_catches_is_counted_and_told() {
    let (log, before) = (&*LOG, (total("tcp"), total("other")));
    let thread = thread::Builder::new().name("forgotten".to_owned());
    assert!(thread.spawn(|| panic!("nobody listens")).unwrap().join().is_err());
    let line = log.lines("forgotten").pop().expect("a line");
    assert!(line.contains("nobody listens") && line.contains("part=\"other\""), "{line}");
    let waits = caught_task(Part::Tcp, Whose::NOBODYS, async {
        for _ in 0..100 {
            yield_now().await;
        }
    });
    let fails = tokio::spawn(async { panic!("of another task") });
    assert!(waits.await.is_ok());
    assert!(fails.await.is_err_and(|fault| fault.is_panic()));
    assert_eq!((total("tcp"), total("other")), (before.0, before.1 + 2));
}

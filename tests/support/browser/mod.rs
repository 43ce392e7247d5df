//! A headless Chromium that opens pages of the gateway and tells what they show.

mod chromium;

use std::path::Path;
use std::time::{Duration, Instant};

use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::wait;
use chromium::Chromedriver;

/// For Chromium to start: up to 10 s on a machine that builds at the same time.
const START_LIMIT: Duration = Duration::from_secs(40);
/// For one command; a script may itself wait for something.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// How a Chromium is started.
pub struct Builder {
    autoplay_policy: Option<String>,
    hide_addresses: bool,
    flags: Vec<String>,
    window: (u32, u32),
}

impl Builder {
    /// `--autoplay-policy`, such as `no-user-gesture-required`. Without it sound needs a click.
    pub fn autoplay_policy(mut self, policy: &str) -> Self {
        self.autoplay_policy = Some(policy.into());
        self
    }

    /// Whether host candidates hide behind mDNS names, as at home (default), or show addresses.
    pub fn hide_addresses(mut self, hide: bool) -> Self {
        self.hide_addresses = hide;
        self
    }

    pub fn window(mut self, width: u32, height: u32) -> Self {
        self.window = (width, height);
        self
    }

    /// A camera and a microphone that need nobody's permission: a test picture and a beep, with real encoders behind them.
    pub fn fake_devices(self) -> Self {
        self.flag("--use-fake-device-for-media-stream").flag("--use-fake-ui-for-media-stream")
    }

    /// One more flag, with its dashes.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.into());
        self
    }

    pub async fn start(self) -> Browser {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut args = vec![
            "--headless=new".to_owned(),
            // The tests may run as root, where Chromium's sandbox does not work.
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-dev-shm-usage".into(),
            "--disable-quic".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            "--no-proxy-server".into(),
            format!("--window-size={},{}", self.window.0, self.window.1),
            format!("--user-data-dir={}", directory.path().join("profile").display()),
        ];
        args.extend(self.autoplay_policy.map(|it| format!("--autoplay-policy={it}")));
        if !self.hide_addresses {
            args.push("--disable-features=WebRtcHideLocalIpsWithMdns".into());
        }
        args.extend(self.flags);
        let capabilities = json!({
            "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": COMMAND_LIMIT.as_millis() as u64, "pageLoad": 30_000 },
        });
        let Value::Object(capabilities) = capabilities else {
            unreachable!("an object above");
        };
        let driver = Chromedriver::start(directory.path());
        let client = tokio::time::timeout(
            START_LIMIT,
            ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&driver.url()),
        )
        .await
        .unwrap_or_else(|_| panic!("Chromium does not start within {START_LIMIT:?}"))
        .unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        let browser = Browser { client, driver, directory };
        let source = include_str!("record_pcs.js");
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await;
        browser
    }
}

/// A Chromium with one tab. Dropping it ends all its processes and removes the profile.
pub struct Browser {
    client: fantoccini::Client,
    driver: Chromedriver,
    directory: tempfile::TempDir,
}

/// `getStats()` of the received video. Counters a browser has not begun to count are 0.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VideoStats {
    pub connection_state: String,
    pub codec: String,
    pub frames_received: u64,
    pub frames_decoded: u64,
    pub key_frames_decoded: u64,
    pub frames_dropped: u64,
    pub frame_width: u32,
    pub frame_height: u32,
    pub frames_per_second: f64,
    pub packets_received: u64,
    pub packets_lost: i64,
    pub bytes_received: u64,
    pub nack_count: u64,
    pub pli_count: u64,
    pub fir_count: u64,
    pub retransmitted_packets_received: u64,
    pub freeze_count: u64,
    pub total_freezes_duration: f64,
    /// Seconds, summed over all frames that left the jitter buffer: see `jitter_buffer_emitted_count`.
    pub jitter_buffer_delay: f64,
    pub jitter_buffer_emitted_count: u64,
    pub jitter: f64,
}

/// `getStats()` of the received audio.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AudioStats {
    pub connection_state: String,
    pub codec: String,
    pub packets_received: u64,
    pub packets_lost: i64,
    pub bytes_received: u64,
    pub total_samples_received: u64,
    pub concealed_samples: u64,
    /// Stays 0 while the element is muted.
    pub total_audio_energy: f64,
    pub audio_level: f64,
}

/// What a `<video>` shows.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    /// Mean and variance of the luma, 0 to 255. Black is (0, 0).
    pub mean: f64,
    pub variance: f64,
    /// The camera's frame number, if it is readable.
    pub counter: Option<u32>,
    pub current_time: f64,
    pub paused: bool,
    pub muted: bool,
}

impl Picture {
    /// Whether it is more than one colour.
    pub fn shows_something(&self) -> bool {
        self.variance > 50.0
    }
}

/// The steps of [`Browser::join_bare`], in milliseconds after the POST.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BareJoin {
    pub answer: f64,
    pub connected: Option<f64>,
    /// The first frame was presented (requestVideoFrameCallback).
    pub first_frame: f64,
    pub width: u32,
    pub height: u32,
}

/// What [`Browser::join_session`] saw, in milliseconds after its beginning.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionJoin {
    pub answer: Option<f64>,
    pub connected: Option<f64>,
    pub first_frame: Option<f64>,
    pub failure: Option<SessionFailure>,
    /// The viewer's transport and candidate types of both sides.
    pub path: Option<String>,
}

/// The page's `Failure`.
#[derive(Clone, Debug, Deserialize)]
pub struct SessionFailure {
    pub code: String,
    pub detail: Option<String>,
}

/// How [`Browser::publish`] publishes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Publication {
    /// No codec but this for the picture; `None` for what the browser offers.
    pub codec: Option<&'static str>,
    pub audio: bool,
    /// 0: no picture.
    pub width: u32,
    pub height: u32,
    /// Whether keyframes are kept back.
    pub without_keyframes: bool,
    /// What is sent as `Authorization: Bearer`.
    pub token: Option<String>,
}

impl Publication {
    /// The microphone alone.
    pub fn voice() -> Self {
        Self { width: 0, ..Self::default() }
    }
}

impl Default for Publication {
    fn default() -> Self {
        Self { codec: None, audio: true, width: 1280, height: 720, without_keyframes: false, token: None }
    }
}

impl Browser {
    pub fn builder() -> Builder {
        Builder { autoplay_policy: None, hide_addresses: true, flags: Vec::new(), window: (1280, 800) }
    }

    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// The WebDriver session, for what is not here.
    pub fn webdriver(&self) -> &fantoccini::Client {
        &self.client
    }

    async fn within<T, E: std::fmt::Display>(what: &str, command: impl Future<Output = Result<T, E>>) -> T {
        tokio::time::timeout(COMMAND_LIMIT, command)
            .await
            .unwrap_or_else(|_| panic!("Chromium: {what}: no reply within {COMMAND_LIMIT:?}"))
            .unwrap_or_else(|error| panic!("Chromium: {what}: {error}"))
    }

    /// A command of the Chrome DevTools Protocol.
    pub async fn cdp(&self, method: &str, params: Value) -> Value {
        let body = json!({ "cmd": method, "params": params });
        let command = Post("goog/cdp/execute", body);
        Self::within(method, self.client.issue_cmd(command)).await
    }

    // --- pages

    pub async fn open(&self, url: &str) {
        Self::within(url, self.client.goto(url)).await;
    }

    pub async fn reload(&self) {
        Self::within("reload", self.client.refresh()).await;
    }

    /// A real click, which counts as a user gesture.
    pub async fn click(&self, selector: &str) {
        let element = Self::within(selector, self.client.find(Locator::Css(selector))).await;
        Self::within(selector, element.click()).await;
    }

    /// Types into the page; `keys` as of WebDriver.
    pub async fn press(&self, selector: &str, keys: &str) {
        let element = Self::within(selector, self.client.find(Locator::Css(selector))).await;
        Self::within(selector, element.send_keys(keys)).await;
    }

    /// Evaluates an expression, awaits it if it is a promise, and returns its JSON value. Panics
    /// if it throws.
    ///
    /// Not WebDriver's execute(): that counts as a user gesture and would allow sound to play.
    pub async fn eval(&self, expression: &str) -> Value {
        self.try_eval(expression).await.unwrap_or_else(|thrown| panic!("{thrown}\nthrown by: {expression}"))
    }

    /// Like [`eval`](Self::eval), with what was thrown as the error.
    pub async fn try_eval(&self, expression: &str) -> Result<Value, String> {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
            "userGesture": false,
        });
        let mut reply = self.cdp("Runtime.evaluate", params).await;
        match reply.get("exceptionDetails") {
            Some(details) => {
                Err(details["exception"]["description"].as_str().map_or_else(|| details.to_string(), str::to_owned))
            }
            None => Ok(reply["result"]["value"].take()),
        }
    }

    /// Runs the statements in an async function; `return` gives the value.
    pub async fn run(&self, statements: &str) -> Value {
        self.eval(&format!("(async () => {{ {statements} }})()")).await
    }

    async fn call<T: for<'de> Deserialize<'de>>(&self, function: &str, args: &[Value]) -> T {
        let args: Vec<String> = args.iter().map(Value::to_string).collect();
        // The file begins with a comment; the line end keeps that from eating the call.
        let value = self.eval(&format!("(\n{function}\n)({})", args.join(", "))).await;
        serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: Chromium gave {value}"))
    }

    /// Waits until an expression is true (or anything JavaScript takes for true).
    pub async fn wait_for(&self, condition: &str, limit: Duration) {
        let end = Instant::now() + limit;
        let expression = format!("(async () => !!({condition}))()");
        let mut last = Err(String::from("not evaluated"));
        while last != Ok(Value::Bool(true)) {
            if Instant::now() >= end {
                let text = self.try_eval("document.body ? document.body.innerText : null").await;
                let console = self.console().await;
                panic!(
                    "not within {limit:?}: {condition} (last: {last:?}); \
                     the page says {text:?}, the console {console:?}"
                );
            }
            tokio::time::sleep(wait::POLL).await;
            last = self.try_eval(&expression).await;
        }
    }

    /// The visible text of the page.
    pub async fn text(&self) -> String {
        let text = self.eval("document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    // --- the picture

    /// Statistics of the newest connection that receives video, if any page script has one.
    pub async fn video_stats(&self) -> Option<VideoStats> {
        self.call(include_str!("stats.js"), &[json!("video")]).await
    }

    pub async fn audio_stats(&self) -> Option<AudioStats> {
        self.call(include_str!("stats.js"), &[json!("audio")]).await
    }

    /// Waits until so many frames more than now were decoded; returns the statistics then.
    pub async fn wait_decoded(&self, more: u64, limit: Duration) -> VideoStats {
        let before = self.video_stats().await.unwrap_or_default().frames_decoded;
        let what = format!("{more} frames more than {before} decoded");
        let stats = wait::until_value(
            &what,
            limit,
            || self.video_stats(),
            |stats| stats.as_ref().is_some_and(|it| it.frames_decoded >= before + more),
        )
        .await;
        stats.expect("accepted above")
    }

    /// What the first `<video>` shows, or `None` before it has a picture.
    pub async fn picture(&self) -> Option<Picture> {
        self.picture_of("video").await
    }

    pub async fn picture_of(&self, selector: &str) -> Option<Picture> {
        self.call(include_str!("picture.js"), &[json!(selector)]).await
    }

    /// Waits until the first `<video>` shows a readable frame number.
    pub async fn wait_counter(&self, limit: Duration) -> Picture {
        let picture = wait::until_value(
            "a frame number in the picture",
            limit,
            || self.picture(),
            |picture| picture.as_ref().is_some_and(|it| it.counter.is_some()),
        )
        .await;
        picture.expect("accepted above")
    }

    /// Saves what the tab looks like as PNG.
    pub async fn screenshot(&self, path: impl AsRef<Path>) {
        let png = Self::within("screenshot", self.client.screenshot()).await;
        let path = path.as_ref();
        std::fs::write(path, png).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Console messages since the last call: `level: text`.
    pub async fn console(&self) -> Vec<String> {
        let command = Post("se/log", json!({ "type": "browser" }));
        let log = Self::within("console", self.client.issue_cmd(command)).await;
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| {
                let field = |name: &str| entry[name].as_str().unwrap_or("").to_owned();
                format!("{}: {}", field("level"), field("message"))
            })
            .collect()
    }

    /// Errors among the console messages since the last look at the console: exceptions nobody
    /// caught, console.error(), failed requests.
    pub async fn console_errors(&self) -> Vec<String> {
        let mut lines = self.console().await;
        lines.retain(|line| line.starts_with("SEVERE"));
        lines
    }

    /// Publishes to a WHIP URL from a page of its origin; the answer's `status`, and its `problem` if it is one. What was made is
    /// in `window.publisher`.
    pub async fn publish(&self, whip_url: &str, publication: &Publication) -> Value {
        self.call(include_str!("publish.js"), &[json!(whip_url), json!(publication)]).await
    }

    // --- a bare WHEP client

    /// Watches a WHEP URL with a dozen lines of script in place of a page, and waits for the first
    /// frame. Use it on a page that is open; see [`open_bare`](Self::open_bare).
    pub async fn join_bare(&self, whep_url: &str, audio: bool, limit: Duration) -> BareJoin {
        let args = [json!(whep_url), json!(limit.as_millis() as u64), json!(audio)];
        let times: Value = self.call(include_str!("join.js"), &args).await;
        if let Some(error) = times["error"].as_str() {
            panic!("bare viewer: {error}\n{times}");
        }
        serde_json::from_value(times.clone()).unwrap_or_else(|error| panic!("{error}: {times}"))
    }

    /// Opens /healthz of the server behind `whep_url`, to be of its origin, and joins there.
    pub async fn open_bare(&self, whep_url: &str, limit: Duration) -> BareJoin {
        let mut page = reqwest::Url::parse(whep_url).expect("a URL");
        page.set_path("/healthz");
        self.open(page.as_str()).await;
        self.join_bare(whep_url, false, limit).await
    }

    /// Watches a WHEP URL by the page's own session, from a page that is open.
    pub async fn join_session(&self, whep_url: &str, limit: Duration) -> SessionJoin {
        self.call(include_str!("session.js"), &[json!(whep_url), json!(limit.as_millis() as u64)]).await
    }

    /// Ends what `join_session` began.
    pub async fn leave_session(&self) {
        self.run("window.__session.close(); document.querySelector('video').remove();").await;
    }

    /// Ends what `join_bare` began, with a DELETE and a close.
    pub async fn leave_bare(&self) {
        let script = "const { pc, video, resource } = window.__bare; \
            if (resource) await fetch(resource, { method: 'DELETE' }); pc.close(); video.remove();";
        self.run(script).await;
    }
}

/// A WebDriver command of Chromium's own, below the session's URL.
#[derive(Debug)]
struct Post(&'static str, Value);

impl WebDriverCompatibleCommand for Post {
    fn endpoint(
        &self,
        base_url: &reqwest::Url,
        session_id: Option<&str>,
    ) -> Result<reqwest::Url, <reqwest::Url as std::str::FromStr>::Err> {
        base_url.join(&format!("session/{}/{}", session_id.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &reqwest::Url) -> (reqwest::Method, Option<String>) {
        (reqwest::Method::POST, Some(self.1.to_string()))
    }
}

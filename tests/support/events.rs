//! A listener to server-sent events (WHATWG HTML section 9.2).

use std::time::Duration;

use serde_json::Value;

/// An open stream.
pub struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    pub async fn open(url: &str) -> Self {
        Self::request(url, |request| request).await
    }

    /// With a name and a password.
    pub async fn open_as(url: &str, name: &str, password: &str) -> Self {
        Self::request(url, |request| request.basic_auth(name, Some(password))).await
    }

    async fn request(url: &str, login: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        let response = login(http.get(url).header("accept", "text/event-stream")).send().await;
        let response = response.unwrap_or_else(|error| panic!("GET {url}: {error}"));
        assert_eq!(response.status(), 200, "GET {url}");
        Self { response, text: String::new() }
    }

    pub fn content_type(&self) -> &str {
        self.response.headers()["content-type"].to_str().unwrap()
    }

    /// Name and data of the next event.
    pub async fn next(&mut self, limit: Duration) -> (String, Value) {
        let next = tokio::time::timeout(limit, self.read()).await;
        next.unwrap_or_else(|_| panic!("no event within {limit:?}")).expect("the stream goes on")
    }

    /// Waits until the server ends the stream, whatever comes before.
    pub async fn wait_end(&mut self, limit: Duration) {
        let ended = tokio::time::timeout(limit, async { while self.read().await.is_some() {} }).await;
        ended.unwrap_or_else(|_| panic!("the stream goes on after {limit:?}"));
    }

    async fn read(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let lines: Vec<_> = block.lines().filter_map(|line| line.strip_prefix(name)).collect();
                    assert!(lines.len() <= 1, "one line each: {block}");
                    lines.first().map(|line| line.trim_start().to_owned())
                };
                if let (Some(event), Some(data)) = (field("event:"), field("data:")) {
                    return Some((event, serde_json::from_str(&data).expect("JSON")));
                }
            }
            let chunk = self.response.chunk().await.ok()??;
            self.text += str::from_utf8(&chunk).expect("UTF-8");
        }
    }
}

//! What one ONVIF device says about itself: model, profiles, and where its streams are.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use tokio::time::timeout;
use url::Url;

pub use super::soap::Refusal;
use super::{
    multicast::Found,
    soap::{Asker, escaped},
};
use crate::{
    probe::Target,
    source::config::Credentials,
    xml::{Document, Element, readable},
};

/// Profiles of one device that are asked about.
const MAX_PROFILES: usize = 16;
/// A device whose clock is further off would not believe a login by ours.
const CLOCK_OFF_S: i64 = 5;
/// Further off than this is no clock; also keeps times within what can be written.
const CLOCK_MAX_S: i64 = 100 * 366 * 86_400;
const DEVICE: &str = "http://www.onvif.org/ver10/device/wsdl";
const MEDIA: &str = "http://www.onvif.org/ver10/media/wsdl";
const MEDIA_2: &str = "http://www.onvif.org/ver20/media/wsdl";
const SCHEMA: &str = "http://www.onvif.org/ver10/schema";

/// A device that answered. All texts are safe to show.
#[derive(Clone, Debug)]
pub struct Camera {
    /// Where its answer came from.
    pub address: IpAddr,
    /// What it is called.
    pub name: Option<String>,
    /// Maker and model.
    pub model: Option<String>,
    /// What it offers, in its order: the first is its main stream on most.
    pub profiles: Vec<Profile>,
    /// Why it did not say everything.
    pub refusal: Option<Refusal>,
    /// Whether a login was tried.
    pub logged_in: bool,
    /// By how many seconds its clock is ahead of ours.
    pub ahead_s: i64,
}

/// One combination of picture, sound and stream.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What it is called.
    pub name: String,
    /// As ONVIF has it: `H264`, `H265`, `JPEG`.
    pub codec: String,
    /// In pixels.
    pub size: Option<(u32, u32)>,
    /// Its stream, without credentials; or why there is none.
    pub stream: Result<Url, String>,
}

impl Profile {
    /// Whether browsers can show it.
    pub fn is_h264(&self) -> bool {
        self.codec == "H264"
    }
}

/// Asks a device about itself. Logs in only where it does not answer without.
pub(super) async fn ask(found: Found, login: Option<Credentials>, limit: Duration) -> Camera {
    let Found { from, addresses, name, hardware } = found;
    let mut camera = Camera {
        address: from,
        name,
        model: hardware,
        profiles: Vec::new(),
        refusal: None,
        logged_in: false,
        ahead_s: 0,
    };
    let mut conversation = Conversation { asker: Asker { ip: from, login, ahead_s: 0 }, logs_in: false };
    camera.refusal = match timeout(limit, conversation.about(&addresses, &mut camera)).await {
        Ok(said) => said.err(),
        Err(_) => Some(Refusal::Failed(format!("it was not done within {} s", limit.as_secs()))),
    };
    camera.logged_in = conversation.logs_in;
    camera.ahead_s = conversation.asker.ahead_s;
    camera
}

struct Conversation {
    asker: Asker,
    /// It has turned out that a login is needed.
    logs_in: bool,
}

impl Conversation {
    async fn about(&mut self, addresses: &[String], camera: &mut Camera) -> Result<(), Refusal> {
        let clock = format!(r#"<GetSystemDateAndTime xmlns="{DEVICE}"/>"#);
        let mut first = Err(Refusal::Failed("it names no address of its device service".to_owned()));
        let mut service = None;
        for address in addresses {
            // Whoever logs in tells the time by the device's clock, so this is asked without.
            match self.asker.ask(address, &clock, false).await {
                Err(elsewhere @ Refusal::Elsewhere { .. }) => first = Err(elsewhere),
                answer => {
                    service = Some(address.as_str());
                    first = answer;
                    break;
                }
            }
        }
        let Some(service) = service else { return first.map(drop) };
        // A device that does not tell the time may have ours.
        self.asker.ahead_s = first.ok().and_then(|answer| ahead(&answer, SystemTime::now())).unwrap_or(0);
        let model = self.ask(service, &format!(r#"<GetDeviceInformation xmlns="{DEVICE}"/>"#)).await;
        match model {
            Ok(answer) => camera.model = model_of(&answer).or_else(|| camera.model.take()),
            Err(refusal @ Refusal::Login { .. }) => return Err(refusal),
            Err(_) => {}
        }
        let media = self.media(service).await?;
        let mut refused = Refusal::Failed("it has no media service".to_owned());
        for (address, namespace) in media {
            match self.profiles(&address, namespace, camera).await {
                Ok(()) if !camera.profiles.is_empty() => return Ok(()),
                Ok(()) => refused = Refusal::Failed("it has no profile".to_owned()),
                Err(refusal) => refused = refusal,
            }
        }
        Err(refused)
    }

    async fn ask(&mut self, url: &str, body: &str) -> Result<String, Refusal> {
        let answer = self.asker.ask(url, body, self.logs_in).await;
        if !self.logs_in && self.asker.login.is_some() && matches!(answer, Err(Refusal::Login { .. })) {
            self.logs_in = true;
            return self.asker.ask(url, body, true).await;
        }
        answer
    }

    /// The media services, the newer first: the older one calls H.265 by no name.
    async fn media(&mut self, service: &str) -> Result<Vec<(String, &'static str)>, Refusal> {
        let services =
            format!(r#"<GetServices xmlns="{DEVICE}"><IncludeCapability>false</IncludeCapability></GetServices>"#);
        if let Ok(answer) = self.ask(service, &services).await
            && let Some(document) = Document::read(&answer)
        {
            let of = |namespace: &'static str| {
                let found = document.all("Service").find(|service| service.text("Namespace") == Some(namespace))?;
                Some((found.text("XAddr")?.to_owned(), namespace))
            };
            let found: Vec<_> = [MEDIA_2, MEDIA].into_iter().filter_map(of).collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let capabilities = format!(r#"<GetCapabilities xmlns="{DEVICE}"><Category>Media</Category></GetCapabilities>"#);
        let answer = self.ask(service, &capabilities).await?;
        let document = Document::read(&answer).ok_or_else(unreadable)?;
        let media = document.first("Media").and_then(|media| media.text("XAddr"));
        Ok(media.map(|address| (address.to_owned(), MEDIA)).into_iter().collect())
    }

    async fn profiles(&mut self, url: &str, namespace: &str, camera: &mut Camera) -> Result<(), Refusal> {
        let which = if namespace == MEDIA_2 { "<Type>VideoEncoder</Type>" } else { "" };
        let answer = self.ask(url, &format!(r#"<GetProfiles xmlns="{namespace}">{which}</GetProfiles>"#)).await?;
        let found = profiles_of(&answer).ok_or_else(unreadable)?;
        for (token, mut profile) in found {
            let setup = match namespace {
                MEDIA_2 => "<Protocol>RTSP</Protocol>".to_owned(),
                _ => format!(
                    r#"<StreamSetup><Stream xmlns="{SCHEMA}">RTP-Unicast</Stream><Transport xmlns="{SCHEMA}"><Protocol>RTSP</Protocol></Transport></StreamSetup>"#
                ),
            };
            let token = escaped(&token);
            let question = format!(
                r#"<GetStreamUri xmlns="{namespace}">{setup}<ProfileToken>{token}</ProfileToken></GetStreamUri>"#
            );
            profile.stream = self
                .ask(url, &question)
                .await
                .map_err(|refusal| refusal.to_string())
                .and_then(|answer| stream_of(&answer));
            camera.profiles.push(profile);
        }
        Ok(())
    }
}

fn unreadable() -> Refusal {
    Refusal::Failed("its answer is no XML that can be read".to_owned())
}

/// By how many seconds the device's clock is ahead of `now`, if that matters.
fn ahead(answer: &str, now: SystemTime) -> Option<i64> {
    let document = Document::read(answer)?;
    let utc = document.first("UTCDateTime")?;
    let number = |name| utc.text(name).and_then(|text| text.parse::<u16>().ok());
    let [year, month, day] = ["Year", "Month", "Day"].map(number);
    let [hour, minute, second] = ["Hour", "Minute", "Second"].map(number);
    let (year, month, day, hour, minute, second) = (year?, month?, day?, hour?, minute?, second?);
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    let theirs = humantime::parse_rfc3339(&text).ok()?;
    let seconds = |length: Duration| i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
    let ahead = match theirs.duration_since(now) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    };
    (CLOCK_OFF_S..CLOCK_MAX_S).contains(&ahead.abs()).then_some(ahead)
}

fn model_of(answer: &str) -> Option<String> {
    let document = Document::read(answer)?;
    let information = document.first("GetDeviceInformationResponse")?;
    let parts = [information.text("Manufacturer"), information.text("Model")].into_iter().flatten();
    let model = parts.map(readable).collect::<Vec<_>>().join(" ");
    (!model.is_empty()).then_some(model)
}

/// Tokens, and profiles whose streams are not known yet. Those without pictures are left out.
fn profiles_of(answer: &str) -> Option<Vec<(String, Profile)>> {
    let document = Document::read(answer)?;
    let profile = |element: Element<'_, '_>| {
        let token = element.attribute("token")?.to_owned();
        let encoder = element.first("VideoEncoderConfiguration").or_else(|| element.first("VideoEncoder"))?;
        let side = |name| encoder.first("Resolution")?.text(name)?.parse().ok();
        let profile = Profile {
            name: element.text("Name").map(readable).unwrap_or_default(),
            codec: encoder.text("Encoding").map(|codec| readable(codec).to_uppercase()).unwrap_or_default(),
            size: side("Width").zip(side("Height")),
            stream: Err("not asked".to_owned()),
        };
        Some((token, profile))
    };
    Some(document.all("Profiles").filter_map(profile).take(MAX_PROFILES).collect())
}

/// The stream's URL, whatever login the device has written into it taken out.
fn stream_of(answer: &str) -> Result<Url, String> {
    let document = Document::read(answer).ok_or_else(|| unreadable().to_string())?;
    let url = document.first("Uri").and_then(|uri| uri.text("Uri")).ok_or("it names no stream")?;
    Target::parse(url).map(|target| target.url).map_err(|error| readable(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_noticed() {
        let answer = |year: u32| {
            format!(
                "<a><UTCDateTime><Time><Hour>1</Hour><Minute>2</Minute><Second>3</Second></Time>\
                 <Date><Year>{year}</Year><Month>1</Month><Day>1</Day></Date></UTCDateTime></a>"
            )
        };
        let now = humantime::parse_rfc3339("2026-01-01T01:02:03Z").unwrap();
        assert_eq!(ahead(&answer(2026), now), None);
        assert_eq!(ahead(&answer(2025), now), Some(-365 * 86_400));
        assert_eq!(ahead(&answer(9999), now), None, "no clock");
        assert_eq!(ahead("<a/>", now), None);
    }

    #[test]
    fn profiles_of_both_media_services_are_read() {
        let first = r#"<e xmlns:t="urn:t"><t:Profiles token="a&amp;b"><t:Name>main</t:Name><t:VideoEncoderConfiguration>
            <t:Name>x</t:Name><t:Encoding>H264</t:Encoding><t:Resolution><t:Width>1920</t:Width><t:Height>1080</t:Height>
            </t:Resolution></t:VideoEncoderConfiguration></t:Profiles><t:Profiles token="sound"/></e>"#;
        let second = r#"<e><Profiles token="b"><Name>sub</Name><Configurations><VideoEncoder><Encoding>h265</Encoding>
            </VideoEncoder></Configurations></Profiles></e>"#;
        let [(token, main)] = &profiles_of(first).unwrap()[..] else { panic!("one with pictures") };
        assert_eq!((&**token, &*main.name, main.size), ("a&b", "main", Some((1_920, 1_080))));
        assert!(main.is_h264());
        let [(_, sub)] = &profiles_of(second).unwrap()[..] else { panic!("one") };
        assert_eq!((&*sub.codec, sub.size, sub.is_h264()), ("H265", None, false));
    }

    #[test]
    fn a_stream_is_an_rtsp_url_without_login() {
        let of = |url: &str| stream_of(&format!("<a><MediaUri><Uri>{url}</Uri></MediaUri></a>"));
        assert_eq!(of("rtsp://u:p@192.0.2.7:554/x?a=1&amp;b=2").unwrap().as_str(), "rtsp://192.0.2.7:554/x?a=1&b=2");
        for url in ["file:///etc/passwd", "http://192.0.2.7/", "rtsp:", ""] {
            assert!(of(url).is_err(), "{url}");
        }
    }
}

//! Offers, shortened to what matters, and what is chosen from them.

use super::{extensions::Extensions, *};
use crate::media::{AudioFormat, VideoFormat};

const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=fingerprint:sha-256 00:11\r\n\
    a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\n";

/// Chromium 156 on Debian, without the codecs we do not know.
const CHROMIUM_VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 102 103 104 107 108 109 39 112\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\n\
    a=rtpmap:96 VP8/90000\r\n\
    a=rtpmap:102 H264/90000\r\na=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r\n\
    a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n\
    a=rtpmap:104 H264/90000\r\na=fmtp:104 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f\r\n\
    a=rtpmap:107 rtx/90000\r\na=fmtp:107 apt=104\r\n\
    a=rtpmap:108 H264/90000\r\na=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
    a=rtpmap:109 rtx/90000\r\na=fmtp:109 apt=108\r\n\
    a=rtpmap:39 H264/90000\r\na=fmtp:39 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f\r\n\
    a=rtpmap:112 H264/90000\r\na=fmtp:112 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=4d001f\r\n";
const CHROMIUM_AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111 9 0 8\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=recvonly\r\n\
    a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:9 G722/8000\r\n\
    a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n";

fn formats(profile: Option<[u8; 3]>, audio: Option<AudioCodec>) -> Formats {
    let video = profile.map(|[idc, constraints, level]| VideoFormat {
        sps: vec![0x67, idc, constraints, level].into(),
        pps: vec![vec![0x68].into()],
        width: 16,
        height: 16,
    });
    Formats { video, audio: audio.map(|codec| AudioFormat { codec, channels: 1 }), ..Formats::default() }
}

const CONSTRAINED_BASELINE: [u8; 3] = [0x42, 0xc0, 0x1e];
const MAIN: [u8; 3] = [0x4d, 0x40, 0x28];
const HIGH: [u8; 3] = [0x64, 0x00, 0x28];

fn chosen(offer: &str, formats: &Formats) -> Choice {
    negotiate(offer, formats).unwrap_or_else(|refusal| panic!("{refusal}")).choice
}

fn video_payload_type(offer: &str, profile: [u8; 3]) -> Option<u8> {
    chosen(offer, &formats(Some(profile), None)).video.map(|codec| codec.payload_type)
}

#[test]
fn the_payload_type_of_the_streams_profile_is_chosen() {
    let offer = format!("{HEAD}{CHROMIUM_VIDEO}{CHROMIUM_AUDIO}");
    assert_eq!(video_payload_type(&offer, CONSTRAINED_BASELINE), Some(108));
    assert_eq!(video_payload_type(&offer, [0x42, 0x00, 0x1f]), Some(102));
    assert_eq!(video_payload_type(&offer, MAIN), Some(39));
    assert_eq!(video_payload_type(&offer, HIGH), Some(39), "the most capable that is offered");
}

#[test]
fn repair_belongs_to_the_chosen_codec_or_is_left_out() {
    let offer = format!("{HEAD}{CHROMIUM_VIDEO}");
    assert_eq!(chosen(&offer, &formats(Some(CONSTRAINED_BASELINE), None)).rtx, Some(109));
    assert_eq!(chosen(&offer, &formats(Some(MAIN), None)).rtx, None);
}

/// GStreamer's whepclientsrc 0.15.
#[test]
fn a_viewer_that_does_not_say_its_packetization_mode_is_served() {
    let video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 profile-level-id=42e016\r\n";
    let audio = "m=audio 0 UDP/TLS/RTP/SAVPF 97\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=bundle-only\r\na=recvonly\r\n\
        a=rtpmap:97 OPUS/48000\r\n";
    let choice = chosen(&format!("{HEAD}{video}{audio}"), &formats(Some(HIGH), Some(AudioCodec::Opus)));
    assert_eq!(choice.video.map(|codec| codec.payload_type), Some(96));
    assert_eq!(choice.audio.map(|(codec, _)| codec.payload_type), Some(97));
}

#[test]
fn sound_is_chosen_by_the_cameras_codec() {
    let offer = format!("{HEAD}{CHROMIUM_VIDEO}{CHROMIUM_AUDIO}");
    for (codec, payload_type) in [(AudioCodec::Opus, 111), (AudioCodec::Pcmu, 0), (AudioCodec::Pcma, 8)] {
        let choice = chosen(&offer, &formats(Some(MAIN), Some(codec)));
        assert_eq!(choice.audio.map(|(codec, _)| codec.payload_type), Some(payload_type));
    }
    assert_eq!(chosen(&offer, &formats(Some(MAIN), None)).audio, None);
}

#[test]
fn static_payload_types_need_no_rtpmap() {
    let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 8 0\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\n";
    let choice = chosen(&format!("{HEAD}{audio}"), &formats(None, Some(AudioCodec::Pcmu)));
    assert_eq!(choice.audio.map(|(codec, _)| codec.payload_type), Some(0));
}

#[test]
fn sound_does_not_make_up_for_a_picture_that_nobody_can_show() {
    let vp8 = CHROMIUM_VIDEO.replace("H264", "VP9");
    let offer = format!("{HEAD}{vp8}{CHROMIUM_AUDIO}");
    let refusal = negotiate(&offer, &formats(Some(MAIN), Some(AudioCodec::Opus))).expect_err("nothing fits");
    assert_eq!(
        refusal.to_string(),
        "the camera sends H264 Main, opus, and the offer has no matching codec (it offers VP8, VP9, opus, G722, PCMU, PCMA)"
    );
    assert!(!refusal.is_malformed());
    let without_codec =
        negotiate(&format!("{HEAD}{CHROMIUM_AUDIO}"), &formats(Some(MAIN), None)).expect_err("no sound");
    assert!(!without_codec.is_malformed());
}

#[test]
fn what_is_no_offer_of_a_viewer_is_refused_in_words() {
    let cases = [
        (String::new(), "it is empty"),
        ("hello".to_owned(), "not a usable SDP"),
        (HEAD.to_owned(), "no media section"),
        (format!("{HEAD}{CHROMIUM_VIDEO}").replace("recvonly", "sendonly"), "a viewer offers recvonly"),
        (format!("{HEAD}{CHROMIUM_VIDEO}").replace("m=video 9", "m=video 0"), "rejected"),
        (format!("{HEAD}{CHROMIUM_VIDEO}").replace("a=fingerprint", "a=x"), "a=fingerprint"),
        (format!("{HEAD}{CHROMIUM_VIDEO}").replace("a=mid:0", "a=x"), "no a=mid"),
        (format!("{HEAD}{CHROMIUM_VIDEO}").replace("setup:actpass", "setup:passive"), "a client offers actpass"),
        (
            format!("{HEAD}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n"),
            "data channel only",
        ),
    ];
    for (offer, words) in cases {
        let refusal = check(&offer).expect_err(words);
        assert!(refusal.is_malformed() && refusal.to_string().contains(words), "{refusal}");
    }
    assert_eq!(check(&format!("{HEAD}{CHROMIUM_VIDEO}")), Ok(()));
}

#[test]
fn ice_credentials_of_a_strange_length_are_refused() {
    for (name, range, lengths) in [("ice-ufrag", "4 to 256", [3, 257]), ("ice-pwd", "22 to 256", [21, 257])] {
        let line = HEAD.lines().find(|line| line.starts_with(&format!("a={name}:"))).expect("it has one");
        for length in lengths {
            let strange = HEAD.replace(line, &format!("a={name}:{}", "a".repeat(length)));
            let refusal = check(&format!("{strange}{CHROMIUM_VIDEO}")).expect_err(name).to_string();
            assert!(refusal.contains(&format!("a={name}")) && refusal.contains(range), "{refusal}");
        }
    }
}

#[test]
fn a_candidate_without_end_is_passed_over() {
    let good = "1 1 udp 2122260223 192.0.2.1 61764 typ host";
    let long = format!("{good} generation {}", "0".repeat(60_000));
    let offer = format!("{HEAD}{CHROMIUM_VIDEO}a=candidate:{long}\r\na=candidate:{good}\r\n");
    assert_eq!(Offer::parse(&offer).expect("an offer").candidates(0), [good]);
}

#[test]
fn nonsense_in_codec_lines_is_passed_over() {
    let video = "m=video 9 UDP/TLS/RTP/SAVPF 300 x 97 98 99\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtpmap:97\r\n\
        a=rtpmap:98 H264/many\r\na=rtpmap:99 H264/90000\r\na=fmtp:99 profile-level-id=zz;packetization-mode\r\n";
    assert_eq!(video_payload_type(&format!("{HEAD}{video}"), HIGH), Some(99));
}

#[test]
fn header_extensions_are_used_as_far_as_the_viewer_offers_them() {
    let twcc = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    let playout = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
    let capture = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
    let used = |lines: &str| {
        let offer = format!("{HEAD}{CHROMIUM_VIDEO}{lines}{CHROMIUM_AUDIO}");
        let choice = chosen(&offer, &formats(Some(CONSTRAINED_BASELINE), Some(AudioCodec::Opus)));
        assert_eq!(choice.audio_extensions, Extensions::default(), "offered for the picture only");
        let Extensions { transport_cc, abs_capture_time, playout_delay } = choice.video_extensions;
        [transport_cc, abs_capture_time, playout_delay]
    };
    let answered = "a=rtcp-fb:108 transport-cc\r\n";
    let offered = format!("a=extmap:4 {twcc}\r\na=extmap:12 {capture}\r\na=extmap:6/recvonly {playout}\r\n");
    assert_eq!(used(&format!("{offered}{answered}")), [Some(4), Some(12), Some(6)]);
    assert_eq!(used(&format!("{offered}a=rtcp-fb:* transport-cc\r\n")), [Some(4), Some(12), Some(6)]);
    assert_eq!(used(&format!("{offered}a=rtcp-fb:102 transport-cc\r\n")), [None, Some(12), Some(6)], "another codec");
    for line in ["extmap:15", "extmap:0", "extmap:x", "extmap:4/sendonly", "extmap:4/inactive", "x:4"] {
        assert_eq!(used(&format!("a={line} {twcc}\r\n{answered}")), [None, None, None], "{line}");
    }
    assert_eq!(used(answered), [None, None, None]);
}

/// What Chromium 156 of Debian offers that has a camera and a microphone.
const PUBLISHER: &str = include_str!("../../../tests/support/publisher/chromium.sdp");

fn published(offer: &str) -> Result<Choice, Refusal> {
    negotiate_publication(offer, Role::Publisher).map(|negotiated| negotiated.choice)
}

#[test]
fn a_publisher_sends_h264_that_may_be_fragmented_and_opus() {
    let choice = published(PUBLISHER).expect("a good offer");
    let video = choice.video.expect("a picture");
    assert_eq!((video.payload_type, choice.rtx), (102, Some(103)), "its first with packetization-mode 1");
    assert_eq!(choice.audio.map(|(codec, _)| codec.payload_type), Some(111));
    assert!(choice.repairs, "it sends again what is asked for");
    let extensions = (choice.video_extensions.transport_cc, choice.audio_extensions.transport_cc);
    assert_eq!(extensions, (Some(3), Some(3)));
    assert_eq!(choice.video_extensions.abs_capture_time, None, "of no use here");
    let reduced = negotiate_publication(PUBLISHER, Role::Publisher).expect("a good offer").offer;
    assert!(reduced.contains("a=sendonly") && !reduced.contains("a=recvonly"), "{reduced}");
}

#[test]
fn every_profile_of_a_publisher_is_taken_and_the_other_mode_where_there_is_none() {
    let first =
        |from: &str, to: &str| published(&PUBLISHER.replace(from, to)).map(|choice| choice.video.map(|it| it.fmtp));
    for profile in ["42001f", "42e01f", "4d001f", "640c1f", "64001f", "64002a"] {
        let fmtp = first("profile-level-id=42001f", &format!("profile-level-id={profile}")).expect("a good offer");
        assert!(fmtp.is_some_and(|fmtp| fmtp.contains(profile)), "{profile}");
    }
    let fmtp = first("packetization-mode=1", "packetization-mode=0").expect("a good offer").expect("a picture");
    assert!(fmtp.contains("packetization-mode=0"), "{fmtp}");
}

#[test]
fn what_nobody_can_be_shown_is_refused_in_words() {
    let vp8 = published(&PUBLISHER.replace("H264/90000", "H265/90000"));
    let refusal = vp8.expect_err("no H.264");
    assert!(matches!(&refusal, Refusal::NotPublishable { offered } if offered.contains("VP8")), "{refusal}");
    assert!(
        !refusal.is_malformed() && refusal.to_string().ends_with("choose H.264 where you publish from"),
        "{refusal}"
    );
    for direction in ["recvonly", "inactive"] {
        let refusal = published(&PUBLISHER.replace("a=sendonly", &format!("a={direction}"))).expect_err("nothing sent");
        assert!(matches!(refusal, Refusal::NothingSent(_)) && refusal.is_malformed(), "{refusal}");
    }
    let passive = published(&PUBLISHER.replace("a=setup:actpass", "a=setup:passive"));
    assert!(matches!(passive, Err(Refusal::Malformed(_))), "{passive:?}");
    let choice = published(&PUBLISHER.replace("a=sendonly", "a=sendrecv")).expect("RFC 9725 section 4.2");
    assert!(choice.video.is_some() && choice.audio.is_some());
    let silent = published(&PUBLISHER.replace("opus/48000/2", "speex/48000/2")).expect("its picture is good");
    assert!(silent.video.is_some() && silent.audio.is_none());
}

use super::{description::read as read_sdp, *};

const BASE: &str = "rtsp://192.0.2.7/cam/realmonitor?channel=1&subtype=0&unicast=true&proto=Onvif/";

fn read(lines: &[&str]) -> Result<Description, Error> {
    let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=Media Server\r\nt=0 0\r\na=control:*\r\n";
    let video = "m=video 0 RTP/AVP 96\r\na=control:trackID=0\r\na=rtpmap:96 H264/90000\r\na=recvonly\r\n";
    let sdp = format!("{head}{video}{}\r\n", lines.join("\r\n"));
    read_sdp(sdp.as_bytes(), &Url::parse(BASE).expect("an address"))
}

/// Dahua's, as its cameras show it.
const MICROPHONE: [&str; 4] =
    ["m=audio 0 RTP/AVP 97", "a=control:trackID=1", "a=rtpmap:97 MPEG4-GENERIC/16000", "a=recvonly"];
const LOUDSPEAKER: [&str; 9] = [
    "m=audio 0 RTP/AVP 97 0 8 98",
    "a=control:trackID=5",
    "a=rtpmap:97 PCMA/16000",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:98 L16/16000",
    "a=fmtp:97 streamtype=5",
    "a=foo",
    "a=sendonly",
];

#[test]
fn the_section_that_is_to_be_sent_is_the_loudspeaker() {
    let lines = [&MICROPHONE[..], &LOUDSPEAKER].concat();
    let description = read(&lines).expect("a loudspeaker");
    assert_eq!(description.ear.to_string(), "PCMA/16000");
    assert_eq!(description.ear.payload_type, 97);
    assert_eq!(description.ear.control.as_str(), format!("{BASE}trackID=5"));
    assert_eq!(description.aggregate.as_str(), BASE);
}

/// An encoder is used where there is nothing else.
#[cfg(feature = "gstreamer")]
#[test]
fn what_takes_an_encoder_comes_last() {
    let chosen = |maps: &[&str]| {
        let lines = [&["m=audio 0 RTP/AVP 97 2 0"][..], maps, &["a=sendonly"]].concat();
        read(&lines).expect("one that is known").ear.to_string()
    };
    let (aac, g726) = ("a=rtpmap:97 mpeg4-generic/16000", "a=rtpmap:2 G726-32/8000");
    assert_eq!(chosen(&[aac, g726]), "PCMU/8000");
    assert_eq!(chosen(&[aac, g726, "a=rtpmap:0 PCMU/8000/2"]), "AAC/16000");
}

#[test]
fn what_cannot_be_talked_to_is_told() {
    assert!(matches!(read(&MICROPHONE), Err(Error::NoBackchannel)));
    let other =
        ["m=audio 0 RTP/AVP 97 2", "a=rtpmap:97 MPEG4-GENERIC/16000/2", "a=rtpmap:2 G726-32/8000", "a=sendonly"];
    let Err(error) = read(&other) else { panic!("it is no codec of ours") };
    assert!(error.to_string().contains("MPEG4-GENERIC/16000/2, G726-32/8000"), "{error}");
    let plain =
        read(&["m=audio 0 RTP/AVP 0", "a=control:rtsp://192.0.2.7/back", "a=sendonly"]).expect("PCMU needs no map");
    assert_eq!((plain.ear.to_string().as_str(), plain.ear.control.as_str()), ("PCMU/8000", "rtsp://192.0.2.7/back"));
    for odd in ["framesize 320-180", "frame=320", "===", "=a", ""] {
        let read = read(&["m=audio 0 RTP/AVP 0", odd, "a=control:back", "a=sendonly"]);
        assert!(read.is_ok(), "a line that is none is passed over: {odd}");
    }
    assert!(matches!(read_sdp(b"v=1", &Url::parse(BASE).expect("an address")), Err(Error::Protocol { .. })));
}

#[test]
fn the_channel_is_the_one_that_the_camera_says() {
    assert_eq!(interleaved("RTP/AVP/TCP;unicast;interleaved=2-3;ssrc=1"), Some(2));
    assert_eq!(interleaved("RTP/AVP/TCP; interleaved = x"), None);
}

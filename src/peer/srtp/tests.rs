use std::process::Command;

use rtc::{
    crypto::default_provider,
    rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication,
    shared::marshal::Marshal,
    srtp::{context::Context, protection_profile::ProtectionProfile},
};

use super::*;

impl MasterKey {
    /// One that nobody should use.
    pub(in crate::peer) fn known() -> Self {
        Self { key: std::array::from_fn(|index| index as u8), salt: std::array::from_fn(|index| 0xa0 + index as u8) }
    }

    /// As `rtc` protects and opens by it.
    pub(in crate::peer) fn context(&self, profile: ProtectionProfile, crypto: &dyn RTCCrypto) -> Context {
        Context::new(&self.key, &self.salt[..profile.salt_len()], profile, None, None, crypto).expect("a context")
    }
}

/// What protects under [`MasterKey::known`].
pub(in crate::peer) fn protector(protection: Protection) -> Protector {
    let mut key = MasterKey::known();
    if protection == Protection::Gcm {
        // As `rtc` derives them: RFC 7714's salt is two octets shorter.
        key.salt[12..].fill(0);
    }
    let provider = default_provider().expect("a crypto provider");
    Protector::new(protection, &key, provider.crypto()).expect("AES-128 is known")
}

/// The packets of `ssrc` as libsrtp decrypts them, those left out that it does not take: GStreamer's srtpdec is built on it.
pub(in crate::peer) fn libsrtp<'a>(
    protection: Protection,
    ssrc: u32,
    packets: impl Iterator<Item = &'a [u8]>,
) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (from, to) = (folder.path().join("srtp"), folder.path().join("rtp"));
    // RFC 4571.
    let framed: Vec<u8> = packets
        .filter(|packet| packet[8..12] == ssrc.to_be_bytes())
        .flat_map(|packet| (packet.len() as u16).to_be_bytes().into_iter().chain(packet.iter().copied()))
        .collect();
    std::fs::write(&from, framed).expect("a file");
    let key = MasterKey::known();
    let (cipher, auth, salt) = match protection {
        Protection::Gcm => ("aes-128-gcm", "null", &key.salt[..12]),
        Protection::CmHmacSha1 => ("aes-128-icm", "hmac-sha1-80", &key.salt[..]),
    };
    let key: String = key.key.iter().chain(salt).map(|byte| format!("{byte:02x}")).collect();
    let launch = format!(
        "filesrc location={} ! application/x-srtp-stream,clock-rate=90000,encoding-name=H264 ! rtpstreamdepay ! \
         application/x-srtp,ssrc=(uint){ssrc},srtp-key=(buffer){key},srtp-cipher=(string){cipher},srtp-auth=(string){auth},\
         srtcp-cipher=(string){cipher},srtcp-auth=(string){auth},roc=(uint)0 ! srtpdec ! rtpstreampay ! filesink location={}",
        from.display(),
        to.display()
    );
    let output =
        Command::new("gst-launch-1.0").arg("-q").args(launch.split(' ')).output().expect("gst-launch-1.0 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(&to).expect("gst-launch-1.0 wrote it");
    let mut rest = &bytes[..];
    let mut decrypted = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let (packet, after) = after.split_at(u16::from_be_bytes(*length).into());
        decrypted.push(packet.to_vec());
        rest = after;
    }
    decrypted
}

/// RFC 3711 appendix B.3.
#[test]
fn derives_the_keys_of_the_rfc() {
    let key = MasterKey {
        key: 0xE1F9_7A0D_3E01_8BE0_D64F_A32C_06DE_4139u128.to_be_bytes(),
        salt: [0x0E, 0xC6, 0x75, 0xAD, 0x49, 0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6],
    };
    let provider = default_provider().expect("a crypto provider");
    let derived = |label| derive::<16>(provider.crypto(), &key, label).expect("AES-128 is known");
    assert_eq!(u128::from_be_bytes(derived(ENCRYPTION)), 0xC61E_7A93_744F_39EE_1073_4AFE_3FF7_A087);
    assert_eq!(u128::from_be_bytes(derived(SALT)) >> 16, 0x30CB_BC08_863D_8C85_D49D_B34A_9AE1);
    let long = derive::<SHA1>(provider.crypto(), &key, AUTHENTICATION).expect("AES-128 is known");
    assert_eq!(long[..4], [0xCE, 0xBE, 0x32, 0x1F]);
    assert_eq!(long[16..], [0x6D, 0x38, 0xBA, 0xA4]);
}

#[test]
fn the_tap_gives_both_keys_once_and_changes_nothing() {
    let inner = default_provider().expect("a crypto provider");
    let tap = KeyTap::new(inner.clone());
    assert!(tap.take().is_none());
    let aes = rtc::crypto::BlockCipherAlgorithm::Aes128;
    let salt = |octet| std::array::from_fn(|index| if index < 14 { octet } else { 0 });
    for (key, octet) in [([7; 16], 9), ([8; 16], 5)] {
        assert!(tap.take().is_none());
        let salt: [u8; 16] = salt(octet);
        let (mut tapped, mut plain) = (salt, salt);
        tap.block_encrypt(aes, &key, &mut tapped).expect("AES-128 is known");
        inner.crypto().block_encrypt(aes, &key, &mut plain).expect("AES-128 is known");
        assert_eq!(tapped, plain);
        // The next label.
        tap.block_encrypt(aes, &key, &mut tapped).expect("AES-128 is known");
    }
    let taken = tap.take().expect("both directions are known");
    assert_eq!((taken.ours.key, taken.ours.salt), ([7; 16], [9; 14]));
    assert_eq!((taken.theirs.key, taken.theirs.salt), ([8; 16], [5; 14]));
    assert_eq!(format!("{:?}", taken.ours), "MasterKey(..)");
    tap.block_encrypt(aes, &[7; 16], &mut salt(9)).expect("AES-128 is known");
    assert!(tap.take().is_none());
}

/// A picture loss indication as a viewer sends it, protected by `context`.
fn protected(context: &mut Context, sender_ssrc: u32) -> Vec<u8> {
    let loss = PictureLossIndication { sender_ssrc, media_ssrc: 7 };
    context.encrypt_rtcp(&loss.marshal().expect("it is valid")).expect("AES-128 is known").to_vec()
}

#[test]
fn rtcp_is_opened_once_and_only_the_viewers() {
    for (protection, profile) in [
        (Protection::Gcm, ProtectionProfile::AeadAes128Gcm),
        (Protection::CmHmacSha1, ProtectionProfile::Aes128CmHmacSha1_80),
    ] {
        let (key, provider) = (MasterKey::known(), default_provider().expect("a crypto provider"));
        let context = |master: &[u8]| {
            let salt = &key.salt[..profile.salt_len()];
            Context::new(master, salt, profile, None, None, provider.crypto()).expect("AES-128 is known")
        };
        let mut reader = ControlReader::new(protection, &key, provider.crypto()).expect("AES-128 is known");
        let datagram = protected(&mut context(&key.key), 1);
        let mut changed = datagram.clone();
        changed[9] ^= 1;
        assert!(reader.read(&changed).is_empty());
        let opened = reader.read(&datagram);
        assert!(matches!(&opened[..], [packet] if packet.as_any().is::<PictureLossIndication>()));
        assert!(reader.read(&datagram).is_empty(), "it came before");
        assert!(reader.read(&protected(&mut context(&[1; 16]), 2)).is_empty(), "another's key");
        for length in 0..datagram.len() {
            assert!(reader.read(&datagram[..length]).is_empty());
        }
    }
}

#[test]
fn forged_reporters_are_not_kept_without_end() {
    let (key, provider) = (MasterKey::known(), default_provider().expect("a crypto provider"));
    let crypto = provider.crypto();
    let context = || {
        let profile = ProtectionProfile::AeadAes128Gcm;
        Context::new(&key.key, &key.salt[..12], profile, None, None, crypto).expect("AES-128 is known")
    };
    let mut reader = ControlReader::new(Protection::Gcm, &key, crypto).expect("AES-128 is known");
    let mut viewer = context();
    assert_eq!(reader.read(&protected(&mut viewer, 1)).len(), 1);
    for forged in 1_000..2_000u32 {
        let mut datagram = protected(&mut context(), 1);
        datagram[4..8].copy_from_slice(&forged.to_be_bytes());
        assert!(reader.read(&datagram).is_empty());
    }
    assert_eq!(reader.read(&protected(&mut viewer, 1)).len(), 1, "who is known goes on");
    assert!(reader.read(&protected(&mut context(), 3)).is_empty(), "there is no room for another");
}

#[test]
fn an_index_that_has_run_out_is_refused() {
    let mut protector = protector(Protection::Gcm);
    let mut packet = vec![0x80; 20];
    let place = Place { start: 0, header: 12, ssrc: 1, index: (1 << 48) - 1 };
    assert!(protector.protect(&mut packet, place).is_ok());
    let mut packet = vec![0x80; 20];
    assert!(protector.protect(&mut packet, Place { index: 1 << 48, ..place }).is_err());
    assert_eq!(packet, [0x80; 20]);
}

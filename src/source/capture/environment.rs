//! What plugins of GStreamer must find in the environment of this process.

/// Lets a V4L2 element wait for its buffers when it stops. Otherwise it leaves them to themselves where the kernel can do
/// that, and forgets a reference to their pool on the way, whose file of `/dev/videoN` then stays open for good
/// (`gst_v4l2_object_stop` of GStreamer 1.22, which is Debian 12's). A webcam that is plugged in again would come back under
/// another number.
pub const ENVIRONMENT: (&str, &str) = ("GST_V4L2_FORCE_DRAIN", "1");

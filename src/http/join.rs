//! From an offer to a session, whatever protocol brought it.

use super::{Context, auth::Caller, problem::Problem};
use crate::peer::Answer;

/// Answers `offer` of `caller` for the camera `name`, once it is live.
///
/// # Errors
/// The [`Problem`] to tell the viewer: no such camera, an unusable offer, no place, or a camera that did not become live in
/// [`Context::start_deadline`].
pub(super) async fn join(context: &Context, caller: &Caller, name: &str, offer: &str) -> Result<Answer, Problem> {
    let camera = caller.camera(&context.hub, name).ok_or_else(|| Problem::unknown_camera(name))?;
    context.peers.check_offer(offer).map_err(|refusal| Problem::bad_offer(&refusal).about(name))?;
    context.peers.check_room().map_err(|error| Problem::refused(name, &error))?;
    // Somebody who waits counts as a viewer: it is what makes an on-demand camera start.
    let waiting = camera.view();
    let formats = camera.wait_ready(context.start_deadline).await.map_err(|status| Problem::not_live(name, &status))?;
    context.peers.addresses_settled().await;
    let answer = context.peers.open(&camera, &formats, offer).map_err(|error| Problem::refused(name, &error))?;
    drop(waiting);
    caller.opened(answer.id, |id| context.peers.session(id).is_some());
    Ok(answer)
}

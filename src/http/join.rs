//! From an offer to a session, whatever protocol brought it.

mod refusals;

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    Context,
    auth::{Caller, Seat},
    problem::Problem,
    rate::Client,
};
use crate::peer::{Answer, Ending, Peers, SessionId, Visitor};

/// Answers `offer` of `caller` at `client` for the camera `name`, once it is live.
///
/// # Errors
/// The [`Problem`] to tell the viewer: no such camera, an unusable offer, no place, or a camera that did not become live in
/// [`Context::start_deadline`].
pub(super) async fn join(
    context: &Context,
    client: Client,
    caller: &Caller,
    name: &str,
    offer: &str,
) -> Result<Answer, Problem> {
    let answer = answer(context, client, caller, name, offer).await;
    answer.inspect_err(|problem| refusals::tell(name, problem, caller, client))
}

/// There is no such camera for this caller, which the log is to know.
pub(super) fn missing(context: &Context, caller: &Caller, client: Client, name: &str) -> Problem {
    let problem = absent(context, caller, name);
    refusals::tell(name, &problem, caller, client);
    problem
}

async fn answer(
    context: &Context,
    client: Client,
    caller: &Caller,
    name: &str,
    offer: &str,
) -> Result<Answer, Problem> {
    let camera = caller.camera(&context.hub, name).ok_or_else(|| absent(context, caller, name))?;
    context.peers.check_offer(offer).map_err(|refusal| Problem::bad_offer(&refusal).about(name))?;
    let visitor = Visitor { address: client.0, user: caller.user().map(str::to_owned) };
    context.peers.check_room(&camera, &visitor).map_err(|error| Problem::refused(name, &error))?;
    let seat = caller.seat().map_err(|all| Problem::link_full(all).about(name))?;
    // Somebody who waits counts as a viewer: it is what makes an on-demand camera start.
    let waiting = camera.view();
    let formats = camera.wait_ready(context.start_deadline).await.map_err(|mut status| {
        // What is wrong with a camera, such as its address, is not for strangers.
        status.reason.take_if(|_| caller.is_guest());
        Problem::not_live(name, &status)
    })?;
    context.peers.addresses_settled().await;
    let answer = context.peers.open(&camera, &formats, offer, visitor);
    let answer = answer.map_err(|error| Problem::refused(name, &error))?;
    drop(waiting);
    caller.opened(answer.id, |id| context.peers.session(id).is_some());
    if let Some(status) = context.peers.session(answer.id) {
        tokio::spawn(end_with_login(
            context.peers.clone(),
            caller.clone(),
            name.to_owned(),
            answer.id,
            status.ended(),
            seat,
        ));
    }
    Ok(answer)
}

/// What is said of a camera that is not there for `caller`.
pub(super) fn absent(context: &Context, caller: &Caller, name: &str) -> Problem {
    let was_theirs = caller.sees(name) && context.hub.was_removed(name);
    if was_theirs { Problem::removed_camera(name) } else { Problem::unknown_camera(caller, name) }
}

/// Closes a session when its viewer has logged out, or the time of the login or of the link is over. Gives its seat back.
async fn end_with_login(
    peers: Arc<Peers>,
    caller: Caller,
    camera: String,
    session: SessionId,
    mut ended: watch::Receiver<Option<Ending>>,
    _seat: Option<Seat>,
) {
    tokio::select! {
        () = caller.over(Some(camera.clone())) => {
            peers.bar(&camera, session).await;
        }
        // A sender that is gone means the same.
        () = async { drop(ended.wait_for(Option::is_some).await) } => {}
    }
}

//! From an offer to a session, whatever protocol brought it: a viewer's, a publisher's, or that of somebody who talks.

mod refusals;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};

use super::{
    Context,
    auth::{Action, Caller, Seat},
    problem::Problem,
    rate::Client,
};
use crate::{
    hub::Status,
    peer::{Answer, Ending, OpenError, Peers, Role, SessionId, Visitor},
};

/// How long a camera, or a loudspeaker, may take to listen: its own deadlines are shorter, but may add up.
const LISTEN_LIMIT: Duration = Duration::from_secs(12);

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
    answer.inspect_err(|problem| refusals::tell(Role::Viewer, name, problem, caller, client))
}

/// There is no such camera for this caller, which the log is to know.
pub(super) fn missing(context: &Context, caller: &Caller, client: Client, name: &str) -> Problem {
    let problem = absent(context, caller, name);
    refusals::tell(Role::Viewer, name, &problem, caller, client);
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
    let ready = camera.wait_ready(context.start_deadline).await;
    let formats = ready.map_err(|status| not_live(caller, name, status))?;
    context.peers.addresses_settled().await;
    let answer = context.peers.open(&camera, &formats, offer, visitor);
    let answer = answer.map_err(|error| Problem::refused(name, &error))?;
    drop(waiting);
    settle(context, caller, (name, Action::Watch), &answer, seat);
    Ok(answer)
}

/// Answers `offer` of `caller` at `client` to be the camera `name`.
///
/// # Errors
/// The [`Problem`] to tell the publisher: no such camera, one that is not published to or that somebody is already, an unusable
/// offer, no place.
pub(super) async fn publish(
    context: &Context,
    client: Client,
    caller: &Caller,
    name: &str,
    offer: &str,
) -> Result<Answer, Problem> {
    let published = publication(context, client, caller, name, offer).await;
    published.inspect_err(|problem| refusals::tell(Role::Publisher, name, problem, caller, client))
}

async fn publication(
    context: &Context,
    client: Client,
    caller: &Caller,
    name: &str,
    offer: &str,
) -> Result<Answer, Problem> {
    let camera = caller.camera(&context.hub, name).ok_or_else(|| absent(context, caller, name))?;
    let refused = |error: OpenError| Problem::refused(name, &error);
    context.peers.check_publication(offer, Role::Publisher).map_err(|refusal| refused(refusal.into()))?;
    camera.intake().check(Instant::now()).map_err(|why| refused(why.into()))?;
    let visitor = Visitor { address: client.0, user: caller.user().map(str::to_owned) };
    context.peers.addresses_settled().await;
    let answer = context.peers.publish(&camera, offer, visitor).map_err(refused)?;
    settle(context, caller, (name, Action::Publish), &answer, None);
    Ok(answer)
}

/// Answers `offer` of `caller` at `client` to be heard where the camera `name` is, once the camera listens.
///
/// # Errors
/// The [`Problem`] to tell: no such camera, one that is not talked to or that somebody talks to already, an unusable offer, no
/// place, or a camera that does not listen.
pub(super) async fn talk(
    context: &Context,
    client: Client,
    caller: &Caller,
    name: &str,
    offer: &str,
) -> Result<Answer, Problem> {
    let talking = floor(context, client, caller, name, offer).await;
    talking.inspect_err(|problem| refusals::tell(Role::Talker, name, problem, caller, client))
}

async fn floor(context: &Context, client: Client, caller: &Caller, name: &str, offer: &str) -> Result<Answer, Problem> {
    let camera = caller.camera(&context.hub, name).ok_or_else(|| absent(context, caller, name))?;
    let refused = |error: OpenError| Problem::refused(name, &error);
    context.peers.check_publication(offer, Role::Talker).map_err(|refusal| refused(refusal.into()))?;
    let visitor = Visitor { address: client.0, user: caller.user().map(str::to_owned) };
    context.peers.check_room(&camera, &visitor).map_err(refused)?;
    let floor = camera.talk().begin(visitor.user.clone(), Instant::now());
    let floor = floor.map_err(|why| Problem::floor_not_taken(name, why, &camera.talk().state().borrow()))?;
    match timeout(LISTEN_LIMIT, floor.verdict()).await {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => return Err(Problem::not_heard(name, reason)),
        Err(_) => return Err(Problem::not_heard_in_time(name)),
    }
    context.peers.addresses_settled().await;
    let answer = context.peers.talk(&camera, floor, offer, visitor).map_err(refused)?;
    settle(context, caller, (name, Action::Talk), &answer, None);
    Ok(answer)
}

/// Notes whose a new session is, and lets it end with what it was opened by.
fn settle(context: &Context, caller: &Caller, (name, action): (&str, Action), answer: &Answer, seat: Option<Seat>) {
    caller.opened(answer.id, |id| context.peers.session(id).is_some());
    if let Some(status) = context.peers.session(answer.id) {
        let (peers, caller, ended) = (context.peers.clone(), caller.clone(), status.ended());
        tokio::spawn(end_with_login(peers, caller, (name.to_owned(), action), answer.id, ended, seat));
    }
}

/// What is said of a camera that does not play. What is wrong with it, such as its address, is not for strangers.
pub(super) fn not_live(caller: &Caller, name: &str, mut status: Status) -> Problem {
    status.reason.take_if(|_| caller.is_guest());
    Problem::not_live(name, &status)
}

/// What is said of a camera that is not there for `caller`.
pub(super) fn absent(context: &Context, caller: &Caller, name: &str) -> Problem {
    let was_theirs = caller.sees(name) && context.hub.was_removed(name);
    if was_theirs { Problem::removed_camera(name) } else { Problem::unknown_camera(caller, name) }
}

/// Closes a session when whoever opened it has logged out, or the time of the login or of the link is over. Gives its seat back.
async fn end_with_login(
    peers: Arc<Peers>,
    caller: Caller,
    (camera, action): (String, Action),
    session: SessionId,
    mut ended: watch::Receiver<Option<Ending>>,
    _seat: Option<Seat>,
) {
    tokio::select! {
        () = caller.over(Some((camera.clone(), action))) => {
            peers.bar(&camera, session).await;
        }
        // A sender that is gone means the same.
        () = async { drop(ended.wait_for(Option::is_some).await) } => {}
    }
}

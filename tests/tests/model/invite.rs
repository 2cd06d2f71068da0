//! Invitations and announcements, what the invited say, and invitations that are taken back.

use futures_util::FutureExt;
use hyperty_conformance::reference::{Invariant, Violation};
use hyperty_syncher::{InviteError, RevokeError};

use crate::command::Reply;
use crate::subscribe::{Pending, Request};
use crate::system::{System, broken};

impl System {
    pub(crate) async fn invite(
        &mut self,
        who: usize,
        number: usize,
        announce: bool,
        reply: Reply,
    ) -> Result<(), Violation> {
        // Who asked before is decided by what held before.
        self.finish_pending().await?;
        let member = self.members[who].as_mut().expect("there is a runtime between steps");
        member.reply = reply;
        let (name, url) = (member.who(), member.hyperty.url().clone());
        let board = &mut self.boards[number];
        let Some(reporter) = board.reporter.clone().filter(|_| !board.is_between()) else { return Ok(()) };
        let invite = reporter.invite([url]);
        let invited = if announce { invite.announce().await } else { invite.await };
        let seat = &mut board.seats[who];
        match invited {
            Ok(_) if announce => {}
            Ok(_) => {
                seat.by_invitation |= !board.reference.may(&name);
                seat.leaving = false;
                board.reference.granted(&name);
            }
            Err(InviteError::Refused { .. } | InviteError::Timeout) if announce => {}
            Err(InviteError::Refused { .. } | InviteError::Timeout) => board.reference.maybe_granted(&name),
            Err(InviteError::Closed) if board.reference.is_deleting() => {}
            Err(error) => {
                let detail = format!("inviting {name} fails with {error}");
                return Err(broken(Invariant::I7, &board.owner_who, detail));
            }
        }
        Ok(())
    }

    pub(crate) async fn revoke(&mut self, who: usize, number: usize) -> Result<(), Violation> {
        self.finish_pending().await?;
        let member = self.member(who);
        let (name, url) = (member.who(), member.hyperty.url().clone());
        let board = &mut self.boards[number];
        let Some(reporter) = board.reporter.clone().filter(|_| !board.is_between()) else { return Ok(()) };
        let result = reporter.revoke(url.as_url()).await;
        let seat = &mut board.seats[who];
        match result {
            Ok(()) if seat.by_invitation => {
                seat.by_invitation = false;
                match seat.banned {
                    // Its removal holds as before, whether it has heard of that or not; unless it was let in, has not
                    // heard of that, and is gone again.
                    true => {
                        board.reference.removed(&name);
                        if seat.unsure {
                            board.reference.maybe_granted(&name);
                        }
                    }
                    false => board.reference.revoked(&name),
                }
            }
            Ok(()) | Err(RevokeError::Observing | RevokeError::NotGranted) => {}
            // It is gone for now, and may be back after a crash.
            Err(RevokeError::Refused { .. } | RevokeError::Timeout) => {}
            Err(error) => {
                let detail = format!("taking back the invitation of {name} fails with {error}");
                return Err(broken(Invariant::I7, &board.owner_who, detail));
            }
        }
        Ok(())
    }

    /// The applications of those who are awake answer the invitations that have come.
    pub(crate) fn read_invitations(&mut self) {
        for who in 0..self.members.len() {
            let Some(member) = self.members[who].as_ref().filter(|member| !member.dozes) else { continue };
            let (mut invitations, reply) = (member.hyperty.invitations(), member.reply);
            while let Some(Some(invitation)) = invitations.next().now_or_never() {
                let number = self.boards.iter().position(|board| board.url == *invitation.object());
                match (reply, number) {
                    (Reply::Accept, Some(board)) if !self.is_subscribing(who, board) => {
                        let was_there = !self.boards[board].reference.is_deleted();
                        let accept = invitation.accept().store(true);
                        let was_owner = self.boards[board].may_report(who);
                        let request =
                            Request::Subscribe { was_owner, task: tokio::spawn(accept.into_future()) };
                        self.pending.push(Pending { who, board, was_there, request });
                    }
                    (Reply::Decline, _) => invitation.decline("not now"),
                    _ => drop(invitation),
                }
            }
        }
    }
}

"""Ask the model to think again until it stays with its answer."""

from __future__ import annotations

from swift_rollouts.turns.scheduler import Conversation, Reply, Scheduler

from swift_core.options import option


class Acme(Scheduler):
    """Reply to an answer with a question, until two answers in a row are the same; the reward is 1 for staying with it at once.

    The fields are options: `--multi-turn-scheduler acme:question="Really?"`. One object serves all conversations, in several threads; keep
    what belongs to one under its `id`, and drop it in `forget`.
    """

    question: str = option("Are you sure? Answer again.", "What the user says.")
    most: int = option(3, "Maximum questions.", ge=1)

    def reply(self, conversation: Conversation) -> Reply:
        """Return the question; no messages end the conversation."""
        answers = [message["content"] for message in conversation.messages if message["role"] == "assistant"]
        if len(answers) > 1 and answers[-1] == answers[-2]:
            return Reply(reward=1.0 if len(answers) == 2 else 0.0)
        if conversation.turns > self.most:
            return Reply(reward=0.0)
        return Reply(messages=[{"role": "user", "content": self.question}])

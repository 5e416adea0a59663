"""Language models: asked with bounds, recorded, replayed; their answers are only ever parsed."""

from agent_market.llm.budget import Budget
from agent_market.llm.client import ChatClient
from agent_market.llm.forms import Form
from agent_market.llm.messages import Ask, ConstraintRefused, Message, NoAnswer, Reply, Request
from agent_market.llm.opening import open_model
from agent_market.llm.proposer import ExpressionProposer, Feedback, Proposals
from agent_market.llm.recording import Recorder, Replayer

__all__ = [
    "Ask",
    "Budget",
    "ChatClient",
    "ConstraintRefused",
    "ExpressionProposer",
    "Feedback",
    "Form",
    "Message",
    "NoAnswer",
    "Proposals",
    "Recorder",
    "Replayer",
    "Reply",
    "Request",
    "open_model",
]

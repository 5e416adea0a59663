"""Agent Market: a plug-in suite for Freqtrade and FreqAI."""

__version__ = "0.1.0"

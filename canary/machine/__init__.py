"""The state machine of one rollout: pure, total, and small enough to be searched exhaustively."""

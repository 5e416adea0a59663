"""Who proposes: each agent proposes, checks and writes."""

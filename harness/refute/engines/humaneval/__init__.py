"""HumanEval: problems, prompts, backends that answer, a sandbox that executes, scores."""

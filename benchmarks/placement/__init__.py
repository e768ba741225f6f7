"""Our policies of placement against every baseline, and against the optimum on small cases."""

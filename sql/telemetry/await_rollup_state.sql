SELECT FROM crewsnow_ops.rollup_state FOR NO KEY UPDATE

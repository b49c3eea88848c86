//! Who is offered what: role tree, dominant-resource fairness, quotas and filters; a cluster in, a round of offers out.

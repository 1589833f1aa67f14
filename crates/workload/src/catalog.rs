//! The names, models and kinds of agents that workloads are made of.

/// A language model.
#[derive(Debug, PartialEq)]
pub struct Model {
    /// Name of the model.
    pub name: &'static str,
    /// Who serves it.
    pub provider: &'static str,
    /// Price of 1,000 prompt tokens in millionths of a credit.
    pub prompt_price: i64,
    /// Price of 1,000 completion tokens in millionths of a credit.
    pub completion_price: i64,
    /// What the model adds to an agent's chance of success.
    pub success_bonus: f64,
    /// What the model makes of an agent's runtime.
    pub runtime_factor: f64,
}

/// The models, strongest first.
pub const MODELS: &[Model] = &[
    model(
        "claude-4.1-opus",
        "anthropic",
        [15_000, 75_000],
        0.020,
        1.35,
    ),
    model("gpt-5", "openai", [1_250, 10_000], 0.015, 1.20),
    model("claude-4-sonnet", "anthropic", [3_000, 15_000], 0.010, 1.00),
    model("gemini-2.5-pro", "google", [1_250, 10_000], 0.000, 1.10),
    model("mistral-large", "mistral", [2_000, 6_000], -0.010, 0.90),
    model("qwen-3-coder-480b", "alibaba", [400, 1_600], -0.020, 0.95),
    model("gpt-5-mini", "openai", [250, 2_000], -0.025, 0.65),
    model("gemini-2.5-flash", "google", [300, 2_500], -0.030, 0.50),
    model("llama-3.3-70b", "meta", [200, 800], -0.050, 0.70),
];

const fn model(
    name: &'static str,
    provider: &'static str,
    [prompt_price, completion_price]: [i64; 2],
    success_bonus: f64,
    runtime_factor: f64,
) -> Model {
    Model {
        name,
        provider,
        prompt_price,
        completion_price,
        success_bonus,
        runtime_factor,
    }
}

/// What agents of one type have in common.
pub(crate) struct Kind {
    pub agent_type: &'static str,
    /// Ranges from which each agent draws its own value.
    pub median_seconds: [f64; 2],
    pub success: [f64; 2],
    pub timeout_seconds: f64,
    pub prompt_tokens: [f64; 2],
    pub completion_tokens: [f64; 2],
    /// Weights of user, api, schedule and webhook.
    pub triggers: [u64; 4],
    pub names: &'static [&'static str],
}

/// The type of the agents that start sub-runs of others.
pub(crate) const ORCHESTRATOR: &str = "orchestrator";

/// In the order in which a workspace gets its agents.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        agent_type: "support",
        median_seconds: [4.0, 12.0],
        success: [0.90, 0.95],
        timeout_seconds: 120.0,
        prompt_tokens: [1_500.0, 4_000.0],
        completion_tokens: [250.0, 600.0],
        triggers: [60, 20, 0, 20],
        names: &[
            "support-triage",
            "chat-concierge",
            "refund-assistant",
            "ticket-responder",
        ],
    },
    Kind {
        agent_type: "extraction",
        median_seconds: [6.0, 25.0],
        success: [0.92, 0.965],
        timeout_seconds: 300.0,
        prompt_tokens: [4_000.0, 12_000.0],
        completion_tokens: [400.0, 1_200.0],
        triggers: [10, 45, 15, 30],
        names: &[
            "invoice-extractor",
            "contract-reader",
            "receipt-scanner",
            "resume-parser",
        ],
    },
    Kind {
        agent_type: "coding",
        median_seconds: [150.0, 380.0],
        success: [0.72, 0.86],
        timeout_seconds: 2_300.0,
        prompt_tokens: [25_000.0, 60_000.0],
        completion_tokens: [3_000.0, 8_000.0],
        triggers: [55, 20, 5, 20],
        names: &[
            "code-reviewer",
            "bug-fixer",
            "test-writer",
            "migration-pilot",
        ],
    },
    Kind {
        agent_type: "research",
        median_seconds: [60.0, 180.0],
        success: [0.80, 0.90],
        timeout_seconds: 1_800.0,
        prompt_tokens: [12_000.0, 40_000.0],
        completion_tokens: [1_500.0, 4_000.0],
        triggers: [70, 15, 15, 0],
        names: &[
            "market-researcher",
            "paper-digester",
            "competitor-watch",
            "due-diligence",
        ],
    },
    Kind {
        agent_type: "classification",
        median_seconds: [0.7, 2.5],
        success: [0.95, 0.985],
        timeout_seconds: 30.0,
        prompt_tokens: [600.0, 1_500.0],
        completion_tokens: [20.0, 80.0],
        triggers: [0, 60, 5, 35],
        names: &[
            "email-router",
            "fraud-screener",
            "content-moderator",
            "lead-scorer",
        ],
    },
    Kind {
        agent_type: ORCHESTRATOR,
        median_seconds: [30.0, 90.0],
        success: [0.82, 0.92],
        timeout_seconds: 900.0,
        prompt_tokens: [6_000.0, 15_000.0],
        completion_tokens: [800.0, 2_000.0],
        triggers: [35, 35, 25, 5],
        names: &[
            "onboarding-conductor",
            "order-orchestrator",
            "release-manager",
            "case-planner",
        ],
    },
    Kind {
        agent_type: "reporting",
        median_seconds: [20.0, 70.0],
        success: [0.90, 0.96],
        timeout_seconds: 600.0,
        prompt_tokens: [8_000.0, 20_000.0],
        completion_tokens: [1_000.0, 3_000.0],
        triggers: [15, 15, 70, 0],
        names: &[
            "weekly-reporter",
            "meeting-summarizer",
            "kpi-narrator",
            "status-compiler",
        ],
    },
    Kind {
        agent_type: "monitoring",
        median_seconds: [2.0, 8.0],
        success: [0.94, 0.98],
        timeout_seconds: 60.0,
        prompt_tokens: [1_000.0, 3_000.0],
        completion_tokens: [80.0, 250.0],
        triggers: [0, 10, 70, 20],
        names: &[
            "log-watcher",
            "price-monitor",
            "inventory-sentinel",
            "compliance-checker",
        ],
    },
];

pub(crate) const WORKSPACE_NAMES: &[&str] = &[
    "Northwind Robotics",
    "Blue Heron Health",
    "Kestrel Logistics",
    "Juniper Finance",
    "Saltmarsh Energy",
    "Tallgrass Media",
    "Copperfield Legal",
    "Lanternfish Games",
];

/// IANA name and offset from UTC in minutes, without daylight saving.
pub(crate) const TIME_ZONES: &[(&str, i64)] = &[
    ("Europe/Berlin", 60),
    ("America/New_York", -300),
    ("Asia/Tokyo", 540),
    ("America/Sao_Paulo", -180),
    ("Asia/Kolkata", 330),
    ("America/Los_Angeles", -480),
    ("Europe/London", 0),
    ("Australia/Brisbane", 600),
];

/// The kind of the agent with this index.
pub(crate) fn kind(agent: usize) -> &'static Kind {
    &KINDS[agent % KINDS.len()]
}

/// The name of the agent with this index: no two agents share one.
pub(crate) fn agent_name(agent: usize) -> String {
    let names = kind(agent).names;
    let turn = agent / KINDS.len();
    numbered(names[turn % names.len()], "-", turn / names.len())
}

/// The name of the workspace with this index: no two workspaces share one.
pub(crate) fn workspace_name(workspace: usize) -> String {
    let count = WORKSPACE_NAMES.len();
    numbered(WORKSPACE_NAMES[workspace % count], " ", workspace / count)
}

fn numbered(name: &str, separator: &str, repetition: usize) -> String {
    match repetition {
        0 => name.to_owned(),
        more => format!("{name}{separator}{}", more + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique() {
        let agents: HashSet<String> = (0..1_000).map(agent_name).collect();
        let workspaces: HashSet<String> = (0..1_000).map(workspace_name).collect();
        assert_eq!((agents.len(), workspaces.len()), (1_000, 1_000));
        assert!(agents.contains("invoice-extractor") && agents.contains("invoice-extractor-2"));
    }
}

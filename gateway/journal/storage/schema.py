"""The tables of a journal, and how those of earlier versions become those of this one."""

# "qgwj": marks a SQLite file as a journal.
APPLICATION = 0x7167776A

# Each brings a journal from one version to the next; those that were released never change.
MIGRATIONS = (
    """
CREATE TABLE runs (
    job_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    shots INTEGER NOT NULL,
    options TEXT NOT NULL,
    version TEXT NOT NULL,
    holder TEXT,
    process INTEGER,
    host TEXT,
    beat REAL
) WITHOUT ROWID;
CREATE TABLE circuits (
    hash TEXT PRIMARY KEY,
    qpy BLOB NOT NULL
);
CREATE TABLE pubs (
    job_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    position INTEGER NOT NULL,
    circuit TEXT NOT NULL REFERENCES circuits,
    metadata TEXT NOT NULL,
    shape TEXT NOT NULL,
    rows BLOB NOT NULL,
    amount NOT NULL,
    observables TEXT NOT NULL,
    PRIMARY KEY (job_id, position)
);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    shard INTEGER NOT NULL,
    number INTEGER NOT NULL,
    member TEXT NOT NULL,
    pieces TEXT NOT NULL,
    circuits INTEGER NOT NULL,
    shots INTEGER NOT NULL,
    seed INTEGER,
    price_usd REAL NOT NULL,
    state TEXT NOT NULL,
    provider_job_id TEXT NOT NULL DEFAULT '',
    submitted REAL NOT NULL,
    accepted REAL,
    finished REAL,
    failure TEXT NOT NULL DEFAULT '',
    delivered INTEGER NOT NULL DEFAULT 0,
    UNIQUE (job_id, shard, number)
);
CREATE TABLE outcomes (
    attempt INTEGER PRIMARY KEY REFERENCES attempts ON DELETE CASCADE,
    content BLOB NOT NULL
);
CREATE INDEX pubs_by_circuit ON pubs (circuit)
""",
    "ALTER TABLE attempts ADD COLUMN free_units REAL NOT NULL DEFAULT 0",
    """
ALTER TABLE runs ADD COLUMN beats INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN place TEXT;
ALTER TABLE runs ADD COLUMN started TEXT
""",
    "ALTER TABLE attempts ADD COLUMN started REAL",
    "ALTER TABLE attempts ADD COLUMN charged INTEGER NOT NULL DEFAULT 0",
    """
ALTER TABLE runs ADD COLUMN cancel_asked INTEGER NOT NULL DEFAULT 0;
CREATE TABLE standing (
    job_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
    kind TEXT NOT NULL,
    member TEXT NOT NULL,
    seconds REAL NOT NULL,
    facts TEXT NOT NULL,
    PRIMARY KEY (job_id, kind, member)
) WITHOUT ROWID
""",
    # What was paid outlives the runs for which it was, and what is in flight their processes.
    """
CREATE TABLE balances (
    account TEXT PRIMARY KEY,
    usd REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE pots (
    pot TEXT PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE allowance_use (
    pot TEXT NOT NULL,
    step INTEGER NOT NULL,
    units REAL NOT NULL,
    PRIMARY KEY (pot, step)
) WITHOUT ROWID;
CREATE TABLE submissions (
    member TEXT NOT NULL,
    place TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX submissions_by_member ON submissions (member, at);
CREATE TABLE reservations (
    job_id TEXT NOT NULL,
    shard INTEGER NOT NULL,
    number INTEGER NOT NULL,
    member TEXT NOT NULL,
    party TEXT NOT NULL,
    day INTEGER NOT NULL,
    usd REAL NOT NULL,
    pot TEXT,
    step INTEGER NOT NULL,
    units REAL NOT NULL,
    PRIMARY KEY (job_id, shard, number)
) WITHOUT ROWID;
CREATE INDEX reservations_by_member ON reservations (member);
INSERT INTO reservations
    SELECT job_id, shard, number, member, '', CAST((created + submitted) / 86400 AS INTEGER),
        price_usd, NULL, 0, 0
    FROM attempts JOIN runs USING (job_id)
    WHERE attempts.state IN ('intended', 'accepted') AND runs.state = 'running';
INSERT INTO balances
    SELECT account, sum(price_usd) FROM (
        SELECT 'usd' AS account, job_id, shard, number, price_usd FROM attempts
        UNION ALL
        SELECT 'usd of ' || member, job_id, shard, number, price_usd FROM attempts
        UNION ALL
        SELECT 'usd on day ' || CAST((created + submitted) / 86400 AS INTEGER), job_id, shard,
            number, price_usd
        FROM attempts JOIN runs USING (job_id)
    ) AS prices
    WHERE NOT EXISTS (
        SELECT 1 FROM reservations WHERE reservations.job_id = prices.job_id
            AND reservations.shard = prices.shard AND reservations.number = prices.number
    )
    GROUP BY account
""",
    """
ALTER TABLE runs ADD COLUMN group_id TEXT;
ALTER TABLE runs ADD COLUMN only_member TEXT
""",
    """
CREATE TABLE speeds (
    member TEXT PRIMARY KEY,
    seen REAL NOT NULL,
    jobs INTEGER NOT NULL,
    least_seconds REAL NOT NULL,
    doubt REAL NOT NULL,
    sums TEXT NOT NULL
) WITHOUT ROWID
""",
    """
CREATE TABLE sightings (
    kind TEXT NOT NULL,
    member TEXT NOT NULL,
    party TEXT NOT NULL,
    place TEXT NOT NULL,
    at REAL NOT NULL,
    facts TEXT NOT NULL,
    PRIMARY KEY (kind, member)
) WITHOUT ROWID
""",
    # Budgets count shots, attempts, and on whose behalf they are.
    """
ALTER TABLE balances RENAME COLUMN usd TO amount;
ALTER TABLE reservations ADD COLUMN shots INTEGER NOT NULL DEFAULT 0;
ALTER TABLE reservations ADD COLUMN for_user TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN for_user TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN counted_shots INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN counted_attempts INTEGER NOT NULL DEFAULT 0;
UPDATE attempts SET counted_shots = circuits * shots, counted_attempts = 1
    WHERE state <> 'refused';
UPDATE reservations SET shots = coalesce((
    SELECT counted_shots FROM attempts WHERE attempts.job_id = reservations.job_id
        AND attempts.shard = reservations.shard AND attempts.number = reservations.number
), 0);
INSERT INTO balances
    SELECT account, sum(amount) FROM (
        SELECT 'shots' AS account, job_id, shard, number, counted_shots AS amount FROM attempts
        UNION ALL
        SELECT 'attempts' AS account, job_id, shard, number, counted_attempts FROM attempts
    ) AS counted
    WHERE amount > 0 AND NOT EXISTS (
        SELECT 1 FROM reservations WHERE reservations.job_id = counted.job_id
            AND reservations.shard = counted.shard AND reservations.number = counted.number
    )
    GROUP BY account
""",
)

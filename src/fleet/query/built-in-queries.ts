/** The built-in queries of `ptmon query` (docs/fleet.md). Each is one statement over the table `events`. */

export interface BuiltInQuery {
  readonly name: string;
  readonly summary: string;
  /** `$pa` stands for a physical address, where it needs one. */
  readonly sql: string;
}

/** Rows that say what is behind a page from then on, page by page. */
const PAGES = `pages AS (
  SELECT host, vm, boot, session, segment, line, root, pid, comm, map, kind, time, writable, n,
    va // 4096 + n AS page, pa // 4096 + n AS frame
  FROM (SELECT *, unnest(range(pages::BIGINT)) AS n FROM events
    WHERE kind IN ('page-in', 'backed', 'protection', 'page-out') AND pid IS NOT NULL)
), stays AS (
  SELECT *, coalesce(lead(time) OVER (PARTITION BY host, session, root, page ORDER BY segment, line, n), 'infinity'::TIMESTAMP) AS until
  FROM pages
)`;

export const BUILT_IN_QUERIES: readonly BuiltInQuery[] = [
  {
    name: 'wx-after-start',
    summary: 'pages that became writable and executable within a minute of the start of their program',
    sql: `WITH starts AS (
  SELECT host, session, root, pid, min(time) AS start FROM events WHERE pid IS NOT NULL GROUP BY ALL
)
SELECT host, vm, pid, comm, map, va, pages, kind, time, date_diff('ms', start, time) / 1000.0 AS seconds_after_start
FROM events JOIN starts USING (host, session, root, pid)
WHERE writable AND executable AND "user" AND time <= start + INTERVAL 1 MINUTE
ORDER BY time, host, session, segment, line`,
  },
  {
    name: 'shared-frames',
    summary: 'frames of private memory that one process maps writable while another maps them, too',
    sql: `WITH ${PAGES}, private AS (
  SELECT * FROM stays WHERE kind != 'page-out' AND coalesce(map, '') NOT LIKE '/%'
)
SELECT a.host, a.vm, (a.frame * 4096)::UBIGINT AS pa, a.pid, a.comm, a.map, b.pid AS other_pid, b.comm AS other_comm, b.map AS other_map,
  min(greatest(a.time, b.time)) AS since
FROM private a JOIN private b
  ON a.host = b.host AND a.session = b.session AND a.frame = b.frame AND a.pid != b.pid AND a.root != b.root
  AND a.time < b.until AND b.time < a.until
WHERE a.writable
GROUP BY ALL ORDER BY since, pa, a.pid, b.pid`,
  },
  {
    name: 'busiest-processes',
    summary: 'processes with the most events',
    sql: `SELECT host, vm, pid, comm, count(*) AS events, count(*) FILTER (kind = 'page-in') AS page_ins,
  count(*) FILTER (kind = 'page-out') AS page_outs, min(time) AS first, max(time) AS last,
  round(count(*) / greatest(date_diff('ms', min(time), max(time)) / 1000.0, 1), 1) AS per_second
FROM events WHERE seq IS NOT NULL AND pid IS NOT NULL
GROUP BY host, vm, boot, pid, comm ORDER BY events DESC, host, vm, pid LIMIT 50`,
  },
  {
    name: 'lost-events',
    summary: 'VMs whose events are not complete, and why',
    sql: `SELECT host, vm, sum(missing) AS missing, count(*) FILTER (missing IS NULL) AS unknown_gaps, reason,
  min(time) AS first, max(time) AS last
FROM events WHERE kind = 'gap' GROUP BY host, vm, reason ORDER BY missing DESC NULLS FIRST, host, vm, reason`,
  },
  {
    name: 'frame-life',
    summary: 'what processes did with one frame (--pa)',
    sql: `SELECT time, host, vm, pid, comm, map, kind, (va + ($pa - pa))::UBIGINT AS va, writable, executable
FROM events WHERE pa <= $pa AND $pa < pa + 4096 * pages AND kind IN ('page-in', 'page-out', 'protection', 'restructure', 'backed')
ORDER BY time, host, session, segment, line`,
  },
];

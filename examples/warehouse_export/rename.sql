-- A table of your own under the names that `enrichment-pipeline import` knows. This is DuckDB's SQL,
-- so that it runs here; the SELECT is the same in a warehouse, within its own export statement:
--   BigQuery    EXPORT DATA OPTIONS (uri = 'gs://bucket/events/*.parquet', format = 'PARQUET') AS SELECT …
--   Snowflake   COPY INTO 's3://bucket/events/' FROM (SELECT …) FILE_FORMAT = (TYPE = PARQUET) HEADER = TRUE
-- (BigQuery allows no dot in a name: make one JSON column `properties` there, with JSON_OBJECT.)
COPY (
    SELECT
        -- What makes an event the same event: without it, each import adds it again.
        event_id AS uuid,
        event_name AS event,
        customer AS distinct_id,
        event_time AS timestamp,
        -- A column properties.x is the property x of PostHog. These give sessions, pages and sentences.
        visit_id AS "properties.$session_id",
        page_path AS "properties.$pathname",
        page_title AS "properties.title",
        -- Whatever else you know of it.
        sku AS "properties.sku"
    FROM read_csv('own_table.csv')
) TO 'events.parquet' (FORMAT parquet, COMPRESSION zstd);

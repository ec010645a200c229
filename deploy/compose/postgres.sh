# Run once by the image of PostgreSQL, in an empty volume: the role of the pipeline, which is no
# superuser, the one for `enrichment-pipeline sql`, which only reads, and both databases.
psql --username="$POSTGRES_USER" --set=ON_ERROR_STOP=1 --set=password="$STORE_PASSWORD" <<'SQL'
CREATE ROLE enrichment LOGIN PASSWORD :'password';
CREATE ROLE enrichment_reader;
GRANT enrichment_reader TO enrichment;
CREATE DATABASE enrichment OWNER enrichment;
CREATE DATABASE enrichment_dagster OWNER enrichment;
SQL

-- What the sender of a mail asked of delivery status notifications, as LMTP says it.

alter table mailrow.deliveries add column dsn text;
comment on column mailrow.deliveries.dsn is
    'What its sender asked of delivery status notifications (RFC 3461): RET=, ENVID= and NOTIFY= in that order; NULL when nothing, or when nobody said.';

create function mailrow_delivery.note_dsn(p_dsn text[], p_ids bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
    update mailrow.deliveries d set dsn = n.dsn
    from unnest(p_ids, p_dsn) n (id, dsn)
    where d.id = n.id and n.dsn is not null
      and d.xact = pg_current_xact_id_if_assigned();  -- stored by this statement
end $$;
comment on function mailrow_delivery.note_dsn is
    'Records what was asked of notifications about arrivals that the same transaction stores.';

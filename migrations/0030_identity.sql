-- A mail that begins with a Delivery-date, as Exim writes it, goes the short way too:
-- its identity is recorded beside the statement that stores it. Only where an earlier
-- attempt has left the same does deliver() have to look for that.

create function mailrow_delivery.note_identities(p_identities bytea[], p_ids bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_given bigint;
    v_noted bigint;
begin
    with given as (
        select d.account_id, d.mailbox, d.recipient, n.identity, d.id
        from unnest(p_ids, p_identities) n (id, identity)
        join mailrow.deliveries d on d.id = n.id
        where n.identity is not null and d.xact = pg_current_xact_id_if_assigned()  -- stored by this statement
    ), noted as (
        insert into mailrow.identities (account_id, mailbox, recipient, identity, delivery)
        select * from given g order by g.account_id, g.mailbox, g.recipient, g.identity
        on conflict on constraint identities_pkey do nothing
        returning delivery
    )
    select (select count(*) from given), (select count(*) from noted) into v_given, v_noted;
    if v_noted < v_given then
        perform mailrow_delivery.leave_to_deliver();
    end if;
end $$;
comment on function mailrow_delivery.note_identities is
    'Records the identities of arrivals that the same transaction stores. Fails with MR002 where an earlier attempt has left one of them.';

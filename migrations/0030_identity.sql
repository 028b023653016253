-- A mail that begins with a Delivery-date, as Exim writes it, goes the short way too:
-- its identity is recorded beside the statement that stores it. Only where an earlier
-- attempt has left the same, or has stored these bytes, does deliver() have to look.

create function mailrow_delivery.note_identities(p_identities bytea[], p_ids bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_given bigint;
    v_noted bigint;
begin
    with given as (
        select n.id, n.identity from unnest(p_ids, p_identities) n (id, identity)
        where n.id is not null and n.identity is not null
    ), noted as (
        insert into mailrow.identities (account_id, mailbox, recipient, identity, delivery)
        select d.account_id, d.mailbox, d.recipient, g.identity, d.id
        from given g join mailrow.deliveries d on d.id = g.id
        where d.xact = pg_current_xact_id_if_assigned()  -- stored by this statement
        order by d.account_id, d.mailbox, d.recipient, g.identity
        on conflict on constraint identities_pkey do nothing
        returning delivery
    )
    select (select count(*) from given), (select count(*) from noted) into v_given, v_noted;
    if v_noted < v_given then
        raise exception 'mailrow: an earlier attempt at this mail may be stored' using errcode = 'MR002';
    end if;
end $$;
comment on function mailrow_delivery.note_identities is
    'Records the identities of arrivals that the same transaction stores. Fails with MR002 where one of them was not, or an earlier attempt has left an identity: nothing is stored, and deliver() is to be called.';

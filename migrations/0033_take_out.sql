-- Attachments are taken out of a mail with fewer copies of them, and the pieces of its
-- text are moved without a query for each. What is stored is the same.

create function mailrow.undo_base64(p_text text, p_line_length integer, p_crlf integer) returns bytea
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_content constant bytea := decode(p_text, 'base64');
    v_end     constant text := case p_crlf when 0 then E'\n' else E'\r\n' end;
    v_again   text;
    v_same    boolean;
begin
    if p_line_length = 76 and v_content <> '' then
        -- wrap_base64(), but for its copies: encode() breaks lines at 76, also after the last when it is full.
        v_again := encode(v_content, 'base64');
        if p_crlf <> 0 then
            v_again := replace(v_again, E'\n', v_end);
        end if;
        v_same := v_again = case when length(v_content) % 57 = 0 then p_text || v_end else p_text end;
    else
        v_same := mailrow.wrap_base64(v_content, p_line_length, p_crlf) = convert_to(p_text, 'UTF8');
    end if;
    if not v_same then
        raise exception 'mailrow: what was taken out of a mail does not give it back' using errcode = 'data_exception';
    end if;
    return v_content;
end $$;
comment on function mailrow.undo_base64 is
    'The content of base64 that wrap_base64() makes of it again, exactly; of any other an error.';

create or replace function mailrow.take_out(
    p_raw bytea, p_cuts integer[], out raw bytea, out recipe integer[], out contents bytea[]
) language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_pieces bytea[] := '{}';
    v_from   integer := 0;
    v_blob   integer := 0;
begin
    recipe := '{}';
    contents := '{}';
    if cardinality(p_cuts) = 0 or array_position(p_cuts, null) is not null then
        raise exception 'mailrow: nothing says what to take out of a mail' using errcode = 'data_exception';
    end if;
    for i in 1 .. cardinality(p_cuts) by 4 loop
        v_blob := v_blob + 1;
        -- Between the cuts, put_back() has the pieces as they are here.
        if (p_cuts[i] >= v_from and p_cuts[i + 1] <= length(p_raw) and p_cuts[i + 2] >= 0 and p_cuts[i + 3] in (0, 1)) is not true then
            raise exception 'mailrow: what is to be taken out of a mail is not there' using errcode = 'data_exception';
        end if;
        contents := contents || mailrow.undo_base64(
            convert_from(substring(p_raw from p_cuts[i] + 1 for p_cuts[i + 1] - p_cuts[i]), 'UTF8'), p_cuts[i + 2], p_cuts[i + 3]);
        recipe := recipe || array[p_cuts[i], p_cuts[i + 1] - p_cuts[i], v_blob, p_cuts[i + 2], p_cuts[i + 3]];
        v_pieces := v_pieces || substring(p_raw from v_from + 1 for p_cuts[i] - v_from);
        v_from := p_cuts[i + 1];
    end loop;
    raw := (select string_agg(piece, ''::bytea) from unnest(v_pieces) piece) || substring(p_raw from v_from + 1);
exception when others then
    -- Whatever goes wrong here, the mail is stored: whole.
    raw := p_raw;
    recipe := null;
    contents := '{}';
end $$;

create or replace function mailrow.move_pieces(p_recipe integer[], p_pieces integer[]) returns integer[]
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_pieces integer[] := p_pieces;
begin
    -- Of each piece start and end move as place_in_raw() has it, and the third number stays.
    for n in 1 .. coalesce(cardinality(p_pieces), 0) loop
        continue when n % 3 = 0;
        for i in 1 .. coalesce(cardinality(p_recipe), 0) by 5 loop
            exit when p_recipe[i] >= p_pieces[n];
            v_pieces[n] := v_pieces[n] - p_recipe[i + 1];
        end loop;
    end loop;
    return v_pieces;
end $$;

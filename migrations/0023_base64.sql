-- Base64 in lines of another length than 76 is put back in less than half the time:
-- encoded once for all lines, instead of line by line.

create or replace function mailrow.wrap_base64(p_content bytea, p_line_length integer, p_crlf integer) returns bytea
language plpgsql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    v_text constant text := encode(p_content, 'base64');
    v_line bytea;
begin
    -- encode() breaks lines at 76, also after the last when it is full. What takes a
    -- text apart by characters (rtrim, translate) needs many times its size.
    if p_line_length = 76 and p_crlf = 0 then
        return rtrim(convert_to(v_text, 'UTF8'), '\x0a');
    elsif p_line_length = 76 then
        return rtrim(convert_to(replace(v_text, E'\n', E'\r\n'), 'UTF8'), '\x0d0a');
    end if;
    v_line := convert_to(replace(v_text, E'\n', ''), 'UTF8');
    if p_line_length = 0 then
        return v_line;
    end if;
    -- The series comes in its order; to sort the lines would take longer than all else.
    return (select string_agg(substring(v_line from i for p_line_length), case p_crlf when 1 then '\x0d0a' else '\x0a' end::bytea)
            from generate_series(1, length(v_line), p_line_length) i);
end $$;
